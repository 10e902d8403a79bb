"""What to say where JAX cannot have the devices that it was told to use."""

import logging
import os
import sys

_ASKED = "JAX_PLATFORMS"
_PLUGIN_LOGGER = "jax._src.xla_bridge"


def explain_plugins() -> None:
    """Nothing; a plugin of JAX that cannot start is told in a line, not a traceback.

    So it is where carbjax[gpu] is installed and NVIDIA's driver is not. JAX goes on
    without the plugin.
    """
    logging.getLogger(_PLUGIN_LOGGER).addFilter(_in_one_line)


def _in_one_line(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = (
            f"carbjax: JAX goes on without its GPU plugin ({record.exc_info[1]}). Check "
            f"NVIDIA's driver with `nvidia-smi`; {_ASKED}=cpu asks for no GPU."
        )
        record.args, record.exc_info, record.exc_text = (), None, None
    return True


def missing_devices() -> str | None:
    """Why JAX has no device, and the way out; None where it has, or was not needed."""
    if "jax" not in sys.modules:
        return None
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().partition("\n")[0]
        asked = os.environ.get(_ASKED, "")
        return (
            f"JAX finds no device for {_ASKED}={asked}{f' ({said})' if said else ''}. "
            f"Unset {_ASKED} to compute on the CPU. For an NVIDIA GPU install carbjax[gpu] "
            "and NVIDIA's driver (`nvidia-smi` shows it)."
        )
    return None
