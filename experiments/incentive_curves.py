"""How strongly each method rewards a shorter prompt and a shorter answer.

    python -m experiments.incentive_curves [CONFIG] [--set KEY=VALUE] [--out FOLDER]

Runs of six requests are cut from the Azure conversation trace, arriving three times as
fast as recorded on an H200 (Llama-3.1-8B). The third request is given prompts of 16 to
8192 tokens (answer 200), then answers of 8 to 2048 (prompt 1000). At each length its
prompt, then its answer is halved, everybody is served and attributed anew, and the reward
is the part of its bill that it saves (`cj.incentive_curve`).

Prints a table of each method's mean distance to the reward that exact Shapley gives;
writes `incentive_curves.csv`, `.png` and `.svg`.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

import carbjax as cj
from experiments.workbench.cuts import compress, first_request
from experiments.workbench.drawing import PALETTE, new_figure, tidy
from experiments.workbench.inputs import CONVERSATIONS, conversations
from experiments.workbench.settings import begin
from experiments.workbench.tables import console, to_table, write

NAME = "incentive_curves"
TRUTH = "shapley"
PARTS = {"prompt": "prompt", "decode": "answer"}
_DECIMALS = 6


class Settings(NamedTuple):
    """Which requests get which lengths, as the configuration says."""

    accelerator: str
    model: str
    num_cuts: int
    num_requests: int
    probe: int
    load: float
    prompts: tuple[int, ...]
    answer: int
    answers: tuple[int, ...]
    prompt: int
    seed: int
    methods: tuple[str, ...]
    left_out: tuple[str, ...]

    def lengths(self, part: str) -> tuple[int, ...]:
        return self.prompts if part == "prompt" else self.answers


class Reward(NamedTuple):
    """One reward; a row of the CSV."""

    cut: int
    first_request: int  # its place in the trace, from 0
    method: str
    against: str  # the part whose length varies
    tokens: int
    halved: str  # the part that is halved
    base_mg: float  # the bill before
    reward: float


def main() -> None:
    settings, out = begin(__doc__, NAME, Settings, [CONVERSATIONS])
    rows = measure(conversations(), settings)
    print_table(rows, settings)
    write(NAME, {NAME: to_table(rows)}, draw(rows, settings), out)


def measure(trace: cj.Workload, settings: Settings) -> list[Reward]:
    """A row for each cut, method, length and halved part."""
    system = cj.System.load(settings.accelerator, settings.model)
    all_methods = [name for name in cj.methods() if name not in settings.left_out]
    names = dict.fromkeys([TRUTH, *(settings.methods or all_methods)])
    rows = []
    for cut in track(range(settings.num_cuts), description="cuts", transient=True):
        first = first_request(trace, cut, settings.num_requests, settings.seed)
        requests = trace.select(slice(first, first + settings.num_requests))
        for part in PARTS:
            workload = _with_probe(requests, part, settings)
            for name in names:
                found = _curve(workload, system, name, part, settings)
                rows += [Reward(cut, first, name, part, *each) for each in found]
    return rows


def _curve(
    workload: cj.Workload, system: cj.System, method: str, part: str, settings: Settings
) -> list[tuple[int, str, float, float]]:
    """The last four fields of `Reward`."""
    curve = cj.incentive_curve(
        workload,
        system,
        method,
        against=part,
        values=settings.lengths(part),
        requests=[settings.probe],
        elasticity=False,
    )
    return [
        (
            int(tokens),
            halved,
            round(1e3 * float(curve.base_g[i, 0]), _DECIMALS),
            round(float(rewards[i, 0]), _DECIMALS) + 0.0,
        )
        for halved, rewards in (("prompt", curve.prompt), ("decode", curve.decode))
        for i, tokens in enumerate(curve.values)
    ]


def _with_probe(requests: cj.Workload, part: str, settings: Settings) -> cj.Workload:
    """The requests faster, and the fixed part of the one that is looked at."""
    faster = compress(requests, settings.load)
    prompt, answer = faster.num_prefill_tokens.copy(), faster.num_decode_tokens.copy()
    if part == "prompt":
        answer[settings.probe] = settings.answer
    else:
        prompt[settings.probe] = settings.prompt
    return faster.with_tokens(prompt, answer)


def rewards(rows: list[Reward], method: str, part: str) -> np.ndarray:
    """For halving the part whose length varies, `"cuts lengths"`."""
    mine = [
        row for row in rows if (row.method, row.against, row.halved) == (method, part, part)
    ]
    num_cuts = len({row.cut for row in mine})
    return np.array([row.reward for row in mine]).reshape(num_cuts, -1)


def distance(rows: list[Reward], method: str, part: str) -> float:
    """Mean distance to Shapley's reward."""
    off = np.abs(rewards(rows, method, part) - rewards(rows, TRUTH, part))
    return float(np.nanmean(off))


def by_distance(rows: list[Reward]) -> list[str]:
    """The methods, those whose rewards are nearest to Shapley's first."""
    names = dict.fromkeys(row.method for row in rows)
    return sorted(names, key=lambda n: sum(distance(rows, n, part) for part in PARTS))


def print_table(rows: list[Reward], settings: Settings) -> None:
    table = Table(
        title="Reward for halving, mean over cuts, and mean distance to Shapley's",
        title_justify="left",
    )
    table.add_column("method")
    for part, name in PARTS.items():
        lengths = settings.lengths(part)
        for tokens in (lengths[0], lengths[-1]):
            table.add_column(f"{name} of {tokens}", justify="right")
        table.add_column("distance", justify="right")
    for name in by_distance(rows):
        cells = []
        for part in PARTS:
            mean = rewards(rows, name, part).mean(0)
            numbers = mean[0], mean[-1], distance(rows, name, part)
            cells += [f"{number:.3f}" for number in numbers]
        table.add_row(name, *cells)
    console().print(table)


def draw(rows: list[Reward], settings: Settings) -> Figure:
    """Mean reward against the length of the part that is halved."""
    figure, (panels,) = new_figure(9.5, 4.4, columns=len(PARTS), sharey=True)
    others = [name for name in by_distance(rows) if name != TRUTH]
    for axes, (part, called) in zip(panels, PARTS.items(), strict=True):
        lengths = settings.lengths(part)
        for i, name in enumerate(others):
            mean = rewards(rows, name, part).mean(0)
            # A colour that is used again is dashed, then dotted.
            again, which = divmod(i, len(PALETTE))
            style = ("-", "--", ":")[again]
            axes.plot(lengths, mean, style, color=PALETTE[which], linewidth=1.3, label=name)
        truth = rewards(rows, TRUTH, part).mean(0)
        axes.plot(lengths, truth, "ko:", linewidth=2, markersize=4, label=TRUTH)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{called} (tokens)")
        tidy(axes, f"reward for halving the {called}")
    panels[0].set_ylabel("part of the bill that is saved")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center",
                  frameon=False, fontsize="small")  # fmt: skip
    return figure


if __name__ == "__main__":
    main()
