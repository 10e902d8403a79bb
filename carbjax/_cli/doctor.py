"""`carbjax doctor`: what this machine offers, and what carbjax would use."""

import importlib.metadata
import json
import os
import platform
from typing import Any

import click

from carbjax._cli.options import json_option, runtime_options
from carbjax._version import __version__

_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "pyarrow")


@click.command("doctor")
@runtime_options
@json_option
def command(precision: str, no_compilation_cache: bool, as_json: bool) -> None:
    """Show devices, versions, precision and folders, and the names that carbjax knows.

    \b
    Examples:
      carbjax doctor
      carbjax doctor --json
    """
    from carbjax._runtime import enable_compilation_cache, set_precision

    set_precision(int(precision))
    cache = None if no_compilation_cache else enable_compilation_cache()
    found = {
        "versions": _versions(),
        "devices": _devices(),
        "precision_bits": int(precision),
        "compilation_cache": None if cache is None else str(cache),
        "data_folder": os.environ.get("CARBJAX_DATA"),
        **_names(),
    }
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"carbjax": __version__, "python": platform.python_version(), **packages}


def _devices() -> list[str]:
    import jax

    return [
        f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()
    ]


def _names() -> dict[str, list[str]]:
    from carbjax._attribution.methods import methods
    from carbjax._hardware import ACCELERATORS, MODELS
    from carbjax._serving.policies import POLICIES
    from carbjax._traces import FORMATS

    return {
        "accelerators": list(ACCELERATORS),
        "models": list(MODELS),
        "policies": list(POLICIES),
        "methods": list(methods()),
        "trace_formats": list(FORMATS),
    }


def _lines(found: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return [
        f"versions: {versions}",
        f"devices: {', '.join(found['devices'])} (the first is used)",
        f"precision: {found['precision_bits']} bits",
        f"compiled programs are kept in: {found['compilation_cache'] or 'nowhere'}",
        f"data folder (CARBJAX_DATA): {found['data_folder'] or 'not set'}",
        *(
            f"{name.replace('_', ' ')}: {', '.join(found[name])}"
            for name in ("accelerators", "models", "policies", "methods", "trace_formats")
        ),
    ]
