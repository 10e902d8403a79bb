"""How JAX runs: float precision, and compiled programs kept between processes."""

import hashlib
import os
import pathlib
import platform

import platformdirs

CACHE_OFF = "CARBJAX_NO_COMPILATION_CACHE"
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def cache_folder() -> pathlib.Path:
    """Where compiled programs are kept: in the user's cache folder, one for each CPU kind.

    A home directory may be shared by machines with different instruction sets, and a
    program compiled on one of them need not run on another.
    """
    kind = hashlib.sha256(_instruction_set().encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("carbjax") / "compiled" / kind


def enable_compilation_cache(
    folder: str | os.PathLike[str] | None = None,
) -> pathlib.Path | None:
    """The folder in which this and later processes keep compiled programs.

    `None`, and nothing is kept, where the environment variable
    `CARBJAX_NO_COMPILATION_CACHE` is set or the folder cannot be written.
    """
    import jax

    if os.environ.get(CACHE_OFF, "") not in ("", "0"):
        return None
    path = cache_folder() if folder is None else pathlib.Path(folder)
    if not _is_writable(path):
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


def set_precision(bits: int) -> None:
    """Nothing; from now on JAX computes with floats of 32 or 64 bits."""
    import jax

    jax.config.update("jax_enable_x64", bits == 64)


def use_one_thread() -> None:
    """Nothing; JAX computes with one thread on a CPU, if it has not begun yet."""
    flags = os.environ.get("XLA_FLAGS", "")
    if _ONE_THREAD not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_ONE_THREAD}"


def _is_writable(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _instruction_set() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {flags}"
