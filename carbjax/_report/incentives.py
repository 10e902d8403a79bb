"""The section about what a user saves by asking for less."""

import math
from collections.abc import Sequence

from carbjax._report.cells import Column, Table, numbers_table
from carbjax._report.panels import Axes, Panel, Series
from carbjax._report.record import CurvePoint, Evaluation
from carbjax._report.scales import linear_scale, log_scale
from carbjax._report.wording import percent

PARTS = {"prompt": "shorter prompt", "decode": "shorter answer"}
_KNOWN = {
    "R_prompt": ("Shorter prompt", "R_prompt, part of the bill"),
    "R_decode": ("Shorter answer", "R_decode, part of the bill"),
    "padding_rewarded": ("Padding pays", "part of the tries with a smaller bill"),
    "padding_fall": ("Padding's gain", "largest, in mean shares"),
}
_LEAST, _MOST = -1.0, 1.5  # of the bill: beyond it curves are cut, and the panel says so


def rewards_table(evaluation: Evaluation) -> Table:
    """Rewards of asking for less, and of padding, of each method over all requests."""
    columns = [
        (Column(name, title, more), name, None)
        for name, (title, more) in _KNOWN.items()
        if evaluation.over_all("incentives", name)
    ]
    caption = "Reduction rewards over all workloads and requests"
    return numbers_table(evaluation, "incentives", columns, caption)


def reward_panels(evaluation: Evaluation) -> list[Panel]:
    """Rewards against the length of prompt and answer; a panel a method."""
    points = [p for p in evaluation.curves or () if not math.isnan(p.reward)]
    tokens = log_scale(p.tokens for p in points)
    if tokens is None:
        return []
    ends = [v for p in points for v in (p.reward, p.lower, p.upper)]
    axes = Axes(
        tokens,
        linear_scale(ends, _LEAST, _MOST),
        "tokens of the prompt or answer",
        "part of the bill saved",
        y_percent=True,
    )
    names = evaluation.among(p.method for p in points)
    return [_panel(axes, name, points) for name in names]


def _panel(axes: Axes, method: str, points: Sequence[CurvePoint]) -> Panel:
    series = []
    for part in sorted({p.part for p in points if p.method == method}, reverse=True):
        own = [p for p in points if (p.method, p.part) == (method, part)]
        own.sort(key=lambda p: p.tokens)
        series.append(
            Series(
                PARTS.get(part, part),
                0 if part == "prompt" else 1,
                [p.tokens for p in own],
                [p.reward for p in own],
                [(p.lower, p.upper) for p in own],
            )
        )
    spoken = "; ".join(
        f"{s.label}: {percent(s.y[0])} at {s.x[0]:,.0f} tokens, "
        f"{percent(s.y[-1])} at {s.x[-1]:,.0f}"
        for s in series
    )
    return axes.panel(method, series, spoken)
