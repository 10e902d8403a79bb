"""Start-up: `import carbjax` and `carbjax --help` beside Python itself."""

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks._rows import Row

_HELP = "from carbjax._cli.main import carbjax; carbjax(['--help'])"
_PROGRAMS = {"import carbjax": "import carbjax", "carbjax --help": _HELP}


def rows(quick: bool) -> Iterator[Row]:
    """Milliseconds of processes; the peer is `import jax`, the limit an empty program."""
    repeats = 2 if quick else 10
    empty, peer = _seconds("pass", repeats), _seconds("import jax", repeats)
    for name, program in _PROGRAMS.items():
        found = _seconds(program, repeats)
        yield Row(
            path="start-up",
            measured=name,
            value=1e3 * found,
            unit="ms",
            peer="import jax",
            ratio=peer / found,
            limit="python -c pass",
            of_limit=empty / found,
        )


def _seconds(program: str, repeats: int) -> float:
    command = [sys.executable, "-c", program]
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    return min(found)
