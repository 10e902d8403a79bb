"""Shows the fields of a class, with types and shapes, as its constructor takes them."""

import griffe


class Fields(griffe.Extension):
    """Gives classes without an `__init__` of their own the one that their fields make.

    griffe does so for dataclasses; named tuples and modules of equinox are alike.
    """

    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        """Nothing; `cls` has an `__init__` afterwards."""
        fields = [
            griffe.Parameter(
                name,
                annotation=member.annotation,
                kind=griffe.ParameterKind.positional_or_keyword,
                default=_default(member.value),
            )
            for name, member in cls.members.items()
            if _is_field(name, member)
        ]
        if fields and "__init__" not in cls.members:
            init = griffe.Function("__init__", parameters=griffe.Parameters(*fields))
            cls.set_member("__init__", init)


def _is_field(name: str, member: griffe.Object | griffe.Alias) -> bool:
    is_plain = member.is_attribute and "property" not in member.labels
    return is_plain and member.annotation is not None and not name.startswith("_")


def _default(value: griffe.Expr | str | None) -> griffe.Expr | str | None:
    """The default of a field; what a call of `eqx.field` says of it, if that is one."""
    if not isinstance(value, griffe.ExprCall):
        return value
    keywords = (a for a in value.arguments if isinstance(a, griffe.ExprKeyword))
    return next((k.value for k in keywords if k.name == "default"), None)
