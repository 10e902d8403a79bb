"""What an evaluation found, as the page needs it."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CRITERIA = ("fairness", "axioms", "scalability", "sample_efficiency", "incentives")
STATUSES = ("ok", "refused", "not_applicable")


@dataclasses.dataclass(frozen=True)
class Number:
    """One row of results.parquet; unknown numbers are NaN, `workload` None is over all."""

    criterion: str
    method: str
    quantity: str
    unit: str
    group: str | None
    workload: int | None
    value: float
    lower: float
    upper: float
    level: float
    num_values: int | None
    status: str
    reason: str | None

    @property
    def is_known(self) -> bool:
        """Whether there is a value, be it infinite."""
        return self.status == "ok" and not math.isnan(self.value)

    @property
    def has_interval(self) -> bool:
        return not (math.isnan(self.lower) or math.isnan(self.upper))


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """A reduction reward at a length of the prompt or the answer."""

    method: str
    part: str
    tokens: float
    reward: float
    lower: float
    upper: float


@dataclasses.dataclass(frozen=True)
class ScalePoint:
    """What a call cost at one size; bytes None where unknown."""

    method: str
    axis: str
    size: int
    seconds: float
    compile_s: float
    peak_bytes: int | None


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ExampleWorkload(_Stored):
    """Requests of an example, by column."""

    arrival_s: list[float] = []
    num_prefill_tokens: list[float] = []
    num_decode_tokens: list[float] = []
    player: list[int | str] = []

    @property
    def rows(self) -> list[tuple]:
        """Player, arrival, prompt and answer of each request, as far as all are known."""
        columns = (
            self.player,
            self.arrival_s,
            self.num_prefill_tokens,
            self.num_decode_tokens,
        )
        return list(zip(*columns, strict=False))


class Example(_Stored):
    """The smallest workload found on which a method breaks an axiom."""

    method: str
    axiom: str
    violation_g: float | None = None
    text: str = ""
    workload: ExampleWorkload | None = None


class MethodAbout(_Stored):
    name: str
    claims: list[str] = []
    source: str = ""
    docstring: str | None = None

    @property
    def file(self) -> str:
        """`source` without its folders: the page goes to others, who have none of them."""
        return self.source.replace("\\", "/").rsplit("/", 1)[-1]


class WorkloadAbout(_Stored):
    index: int
    num_requests: int | None = None
    load: float | str | None = None
    description: str | None = None


class About(_Stored):
    """evaluation.json: what was judged, with what, when."""

    finished_at: str | None = None
    versions: dict[str, str | None]
    device: str | None = None
    seed: int | None = None
    configuration: dict[str, Any]
    system: Any = None
    workloads: list[WorkloadAbout]
    criteria: list[str] = []
    methods: list[MethodAbout]
    flags: list[str] = []
    seconds: dict[str, float | None] = Field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that the folder holds; None for a file that is not there."""

    about: About
    numbers: tuple[Number, ...]
    curves: tuple[CurvePoint, ...] | None
    scaling: tuple[ScalePoint, ...] | None
    examples: tuple[Example, ...] | None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names, those of evaluation.json first."""
        named = [method.name for method in self.about.methods]
        return tuple(dict.fromkeys([*named, *(n.method for n in self.numbers)]))

    @property
    def judged(self) -> tuple[str, ...]:
        """Methods without the estimators that only sample efficiency tells apart."""
        named = {method.name for method in self.about.methods}
        beyond = {n.method for n in self.numbers if n.criterion != "sample_efficiency"}
        names = tuple(name for name in self.methods if name in named | beyond)
        return names or self.methods

    def among(self, names: Iterable[str]) -> list[str]:
        """Each name once, in the order of the methods; unknown ones last."""
        order = {method: i for i, method in enumerate(self.methods)}
        return sorted(ordered(names), key=lambda name: order.get(name, len(order)))

    def of(self, criterion: str) -> list[Number]:
        """The numbers of one criterion."""
        return [n for n in self.numbers if n.criterion == criterion]

    def over_all(
        self, criterion: str, quantity: str, group: str | None = None
    ) -> dict[str, Number]:
        """One number over all workloads of each method that has it."""
        return {
            n.method: n
            for n in self.of(criterion)
            if n.quantity == quantity and n.group == group and n.workload is None
        }

    def by_workload(self, criterion: str, quantity: str) -> dict[str, list[float]]:
        """Known values of each method, a workload each."""
        found: dict[str, list[float]] = {}
        for n in self.of(criterion):
            if n.quantity == quantity and n.workload is not None and n.is_known:
                found.setdefault(n.method, []).append(n.value)
        return found

    def groups(self, criterion: str, quantity: str) -> list[str]:
        """Groups that a quantity was found for, in the order of the file."""
        return ordered(
            n.group
            for n in self.of(criterion)
            if n.quantity == quantity and n.group is not None
        )


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once, in order of first appearance."""
    return list(dict.fromkeys(names))
