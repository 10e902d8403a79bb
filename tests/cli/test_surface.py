import subprocess
import sys

import carbjax as cj


def test_every_public_name_is_there():
    assert "attribute" in cj.__all__
    for name in cj.__all__:
        assert getattr(cj, name) is not None


def test_importing_carbjax_imports_neither_jax_nor_matplotlib():
    script = (
        "import sys, carbjax; print({'jax', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() == "set()", shown.stderr
