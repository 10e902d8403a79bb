"""Figures."""

from carbjax._plots.saving import FIGURE_SUFFIXES as FIGURE_SUFFIXES
from carbjax._plots.shares import (
    share_figure as share_figure,
    write_share_figure as write_share_figure,
)
