"""Figures."""

from carbjax._plots.shares import (
    FIGURE_SUFFIXES as FIGURE_SUFFIXES,
    share_figure as share_figure,
    write_share_figure as write_share_figure,
)
