"""Figures as files."""

import os
import pathlib

import matplotlib
from matplotlib.figure import Figure

from carbjax._files import replacing, require_writable

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 150
_UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Nothing; the figure stands at `path`, by suffix PNG, SVG or PDF.

    The same figure is the same file. Raises `OutputError` where that cannot be written.
    """
    require_writable(path, FIGURE_SUFFIXES)
    undated = _UNDATED.get(pathlib.Path(path).suffix.lower())
    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "carbjax"}):
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, metadata=undated)
