"""Any supported profile as one table."""

import os
import pathlib
from collections.abc import Sequence

from carbjax._errors import ProfileError
from carbjax._hardware.model import ModelShape
from carbjax._hardware.tables import model as shipped_model
from carbjax._profiles import aiconfigurator, llmservingsim, own, vidur
from carbjax._profiles.gathering import open_table, require_columns
from carbjax._profiles.kind import Context, Kind
from carbjax._profiles.profile import Profile, concatenate
from carbjax._traces.table import Table, listed

Path = str | os.PathLike[str]

_KINDS: tuple[Kind, ...] = (
    *own.KINDS,
    *vidur.KINDS,
    *aiconfigurator.KINDS,
    *llmservingsim.KINDS,
)
FORMATS = tuple(dict.fromkeys(kind.form for kind in _KINDS))
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_LIKELY = 0.5  # share of a kind's columns from which a file is taken for one of it


def read_profile(
    path: Path | Sequence[Path],
    format: str | None = None,
    *,
    model: str | ModelShape | None = None,
    tensor_parallel: int | None = None,
    precision: str | None = "bfloat16",
) -> Profile:
    """The measured calls of a file, of all profiles in a folder, or of several of these.

    **Arguments:**

    - `path`: CSV (plain or gz) or Parquet; carbjax's own columns: `docs/profiler.md`. In
      a folder, tables that are no profile are counted in `quarantined`.
    - `format`: `"carbjax"`, `"vidur"`, `"aiconfigurator"` or `"llmservingsim"`; by
      default each file's is recognised from its columns.
    - `model`: a shipped name or a `ModelShape`, where files name layers without their
      sizes (LLMServingSim); by default as the `meta.yaml` beside them says.
    - `tensor_parallel`: the degree of such files; by default N of a folder `tpN`.
    - `precision`: of weights and caches, of aiconfigurator's tables; None reads all.

    Units are converted, repeats averaged, rows that stand for no call of a server left
    out: `summary()` says how many and why.

    Raises `ProfileError`, which names file, row (the line of the file, from 1) and
    column, for a file that is missing, damaged or no profile, columns that are missing,
    values that are no numbers or negative, and latencies in the wrong unit.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if format is not None and format not in FORMATS:
        raise ProfileError(
            f"there is no profile format {format!r}.", hint=f"Known are {listed(FORMATS)}."
        )
    _check_degree(tensor_parallel)
    shape = shipped_model(model) if isinstance(model, str) else model
    context = Context(shape, tensor_parallel, precision)
    parts = [part for p in paths for part in _parts(pathlib.Path(p), format, context)]
    if not parts:
        raise ProfileError("no file was given.", hint="Give at least one path.")
    profile = concatenate(*parts)
    if len(profile) == 0:
        reasons = [f"{n} {why}" for why, n in profile.quarantined.items()]
        raise ProfileError(
            f"no row can be used ({'; '.join(reasons) or 'there are none'}).",
            file=", ".join(map(str, paths)),
            hint="Give another file, or another precision.",
        )
    return profile


def _check_degree(tensor_parallel: int | None) -> None:
    if tensor_parallel is not None and tensor_parallel < 1:
        raise ProfileError(
            f"`tensor_parallel` is {tensor_parallel}.", hint="Give a whole number from 1."
        )


def _parts(path: pathlib.Path, form: str | None, context: Context) -> list[Profile]:
    if not path.is_dir():
        table = open_table(path)
        return [_kind_of(table, form).read(table, context)]
    files = sorted(f for f in path.iterdir() if f.name.endswith(_SUFFIXES))
    tables = [open_table(file) for file in files]
    known = [table for table in tables if _recognised(table, form) is not None]
    if not known:
        raise ProfileError(
            f"no profile is in this folder of {len(files)} tables.",
            file=path,
            hint=f"Looked for {_looked_for(form)}.",
        )
    parts = [_kind_of(table, form).read(table, context) for table in known]
    strange = [pathlib.Path(t.file).name for t in tables if t not in known]
    counted = {f"files that are no profile ({', '.join(strange)})": len(strange)}
    parts[0] = parts[0].leaving_out(counted if strange else {})
    return parts


def _kinds(form: str | None) -> list[Kind]:
    return [kind for kind in _KINDS if form in (None, kind.form)]


def _share(kind: Kind, table: Table) -> float:
    return sum(column in table.columns for column in kind.columns) / len(kind.columns)


def _recognised(table: Table, form: str | None) -> Kind | None:
    """The kind whose columns the table has, the one with most columns of several."""
    whole = [kind for kind in _kinds(form) if _share(kind, table) == 1.0]
    return max(whole, key=lambda kind: len(kind.columns)) if whole else None


def _kind_of(table: Table, form: str | None) -> Kind:
    kind = _recognised(table, form)
    if kind is not None:
        return kind
    near = max(_kinds(form), key=lambda kind: _share(kind, table))
    if _share(near, table) >= _LIKELY:
        require_columns(table, near.columns, str(near))
    claim = "no profile that carbjax knows" if form is None else f"no profile of {form}"
    raise table.fail(
        f"this is {claim}; its columns are {listed(table.columns)}.",
        hint=f"Looked for {_looked_for(form)}.",
    )


def _looked_for(form: str | None) -> str:
    return "; ".join(f"{kind} ({listed(kind.columns)})" for kind in _kinds(form))
