"""Each layer imports only from those before it."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "carbjax"
LAYERS = (
    "_version _units _errors _files _progress _settings _runtime _workload _traces "
    "_datasets _hardware _profiles _surrogate _fitting _profiler _carbon _serving _games "
    "_estimators _attribution _criteria _fleet _ledger _plots _report _cli __main__"
).split()


def _imported(source: pathlib.Path) -> set[str]:
    """Names of the layers that a file imports."""
    nodes = ast.walk(ast.parse(source.read_text("utf-8")))
    modules = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    return {m.split(".")[1] for m in modules if m.startswith("carbjax.")}


def test_imports_go_upwards_only():
    wrong = []
    for source in sorted(PACKAGE.rglob("*.py")):
        layer = source.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if layer == "__init__":
            continue
        allowed = LAYERS[: LAYERS.index(layer) + 1]
        wrong += [f"{source.name} imports {n}" for n in _imported(source) - set(allowed)]
    assert not wrong


def test_every_layer_is_ranked():
    found = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__", "__pycache__"} == set(LAYERS)
