"""Shows the function where a public name is both a function and the module of it."""

import griffe


class PublicNames(griffe.Extension):
    """Resolves `carbjax.attribute` to the function, as Python does, not to its module."""

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Nothing; each public name of `pkg` leads to what an import finds."""
        for name, member in list(pkg.members.items()):
            if not member.is_alias or not member.target_path.startswith(pkg.path):
                continue
            target = member.final_target
            if target.is_module and name in target.members:
                pkg.set_member(name, griffe.Alias(name, target[name]))
