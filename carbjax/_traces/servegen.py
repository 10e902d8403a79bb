"""Workloads of any size, drawn from the clients of ServeGen."""

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from carbjax._errors import TraceError
from carbjax._traces.renewals import Gaps, arrivals_until
from carbjax._traces.servegen_files import Paths, read_clients
from carbjax._workload import Workload

_BLOCK = 2**18  # expected requests that are drawn at once
_MOST_PROCESSES = 2**19  # tenants times windows of a block
_LEAST_EXPECTED = 1e-4  # requests of the busiest window; with fewer none ever comes
_MOST_SCALE = 1e6
_MOST_WINDOWS = 2**12  # of a block


class Requests(NamedTuple):
    """Columns of requests in order of arrival."""

    arrival_s: Float[np.ndarray, " requests"]
    num_prefill_tokens: Int[np.ndarray, " requests"]
    num_decode_tokens: Int[np.ndarray, " requests"]
    tenant: Int[np.ndarray, " requests"]  # index of a name


class ServeGen:
    """Requests of many tenants, drawn from ServeGen's clients, without end.

    **Arguments:**

    - `clients`: a folder of client files, several, or their trace files.
    - `tenants`: how many; by default one a client. Tenant i is client i modulo their
      number: it asks as that client does, at other moments and with other lengths.
    - `rate_scale`: how many times as often as recorded they ask.
    - `seed`: of all draws.

    In each window arrivals are a renewal process in equilibrium, gaps Gamma or Weibull of
    the client's shape with a mean of 1 / rate: windows are independent. Prompts and answers
    are drawn independently from the client's distributions of the period, or of the
    nearest that has any. After the last window the first comes again.

    The draws depend on the arguments alone: a longer run begins with the shorter one,
    whatever the size of chunks. Memory does not grow with the number of requests.

    Raises `TraceError` for files that are no clients, and arguments out of range.
    """

    tenant_names: tuple[str, ...]

    def __init__(
        self,
        clients: Paths,
        tenants: int | None = None,
        rate_scale: float = 1.0,
        seed: int = 0,
    ):
        self._clients = read_clients(clients)
        if tenants is not None and tenants < 1:
            raise TraceError(f"`tenants` is {tenants}.", hint="Give at least 1.")
        if not 0 < rate_scale <= _MOST_SCALE:
            raise TraceError(
                f"`rate_scale` is {rate_scale}.",
                hint=f"Give more than 0, and at most {_MOST_SCALE:g}.",
            )
        number = len(self._clients) if tenants is None else tenants
        self._client_of = np.arange(number) % len(self._clients)
        self._seed = seed
        self._window_s = _common_window(self._clients)
        self._gaps, self._cycles = _tables(self._clients, rate_scale)
        self.tenant_names = tuple(self._name(tenant) for tenant in range(number))
        busiest = self._gaps.rate[np.unique(self._client_of)].max() * self._window_s
        if busiest < _LEAST_EXPECTED:
            raise TraceError(
                "no client ever asks.", file=self._clients[0].dataset, hint="Give others."
            )

    def chunks(self, num_requests: int, size: int = 2**20) -> Iterator[Requests]:
        """The first `num_requests` in chunks of `size`, the last one shorter."""
        waiting: list[Requests] = []
        held, left = 0, num_requests
        for block in self._blocks():
            while len(block.arrival_s) and left:
                taken = min(size - held, left, len(block.arrival_s))
                waiting.append(Requests(*(column[:taken] for column in block)))
                block = Requests(*(column[taken:] for column in block))
                held, left = held + taken, left - taken
                if held == size or left == 0:
                    yield _joined(waiting)
                    waiting, held = [], 0
            if left == 0:
                return

    def workload(self, num_requests: int, epoch: dt.datetime | None = None) -> Workload:
        """The first `num_requests`, players the tenants that are among them."""
        drawn = _joined(list(self.chunks(num_requests)))
        seen, player = np.unique(drawn.tenant, return_inverse=True)
        return Workload(
            *drawn[:3],
            player,
            epoch,
            player_names=tuple(self.tenant_names[tenant] for tenant in seen),
        )

    def _name(self, tenant: int) -> str:
        copy, client = divmod(tenant, len(self._clients))
        return self._clients[client].name + (f"#{copy + 1}" if copy else "")

    def _blocks(self) -> Iterator[Requests]:
        window, most = 0, max(1, _MOST_PROCESSES // len(self._client_of))
        most = min(most, _MOST_WINDOWS)
        while True:
            expected = np.cumsum(self._expected(np.arange(window, window + most)))
            number = int(np.searchsorted(expected, _BLOCK, "right"))
            if number == 0:
                yield from self._parts(window, int(np.ceil(expected[0] / _BLOCK)))
            else:
                yield from self._parts(window, 1, number)
            window += max(number, 1)

    def _expected(self, windows: np.ndarray) -> Float[np.ndarray, " windows"]:
        clients = np.arange(len(self._clients))[:, None]
        rate = self._gaps.rate[clients, windows % self._cycles[:, None]]
        weight = np.bincount(self._client_of, minlength=len(self._clients))
        return self._window_s * (weight @ rate)

    def _parts(self, window: int, parts: int, windows: int = 1) -> Iterator[Requests]:
        """The requests of `windows` from `window` on, in `parts` one after the other."""
        rng = np.random.default_rng((self._seed, window))
        # By client, then window: those of one distribution of lengths lie together.
        by_client = np.argsort(self._client_of, kind="stable")
        numbers, tenant = _pairs(self._client_of[by_client], by_client, window, windows)
        client = self._client_of[tenant]
        place = client, numbers % self._cycles[client]
        asks = self._gaps.rate[place] > 0
        place = tuple(axis[asks] for axis in place)
        tenant, numbers = tenant[asks], numbers[asks]
        gaps = Gaps(
            *(getattr(self._gaps, f)[place] for f in ("rate", "shape", "is_weibull"))
        )
        start_s = numbers * self._window_s
        next_s = start_s + gaps.first(rng, np.arange(len(start_s)))
        for part in range(1, parts + 1):
            end_s = start_s + self._window_s * (part / parts)
            which, times = arrivals_until(rng, gaps, next_s, end_s)
            lengths = self._lengths(rng, place, which)
            order = np.argsort(times, kind="stable")
            columns = times, *lengths, tenant[which]
            yield Requests(*(column[order] for column in columns))

    def _lengths(self, rng, place, which) -> Int[np.ndarray, "2 requests"]:
        """Prompts and answers of requests, whose processes are in order."""
        client, cycle = place
        uniform = rng.random((2, len(which)))
        lengths = np.empty((2, len(which)), np.int64)
        changes = np.flatnonzero((np.diff(client) != 0) | (np.diff(cycle) != 0)) + 1
        starts = np.concatenate([[0], changes])
        edges = np.append(np.searchsorted(which, starts), len(which))
        for first, low, high in zip(starts, edges[:-1], edges[1:], strict=True):
            if low < high:
                of = self._clients[client[first]]
                period = of.period(float(cycle[first]) * self._window_s)
                for row, lengths_of in enumerate(of.lengths(period)):
                    lengths[row, low:high] = lengths_of.draw(uniform[row, low:high])
        return lengths


def servegen_workload(
    clients: Paths,
    num_requests: int,
    *,
    tenants: int | None = None,
    rate_scale: float = 1.0,
    seed: int = 0,
    epoch: dt.datetime | None = None,
) -> Workload:
    """The first `num_requests` that ServeGen's clients ask for, tenants as players.

    Arguments as in `ServeGen`, whose `chunks` draw more than memory holds; `epoch` is the
    UTC instant of second 0. Raises `TraceError`.
    """
    if num_requests < 1:
        raise TraceError(f"`num_requests` is {num_requests}.", hint="Give at least 1.")
    return ServeGen(clients, tenants, rate_scale, seed).workload(num_requests, epoch)


def _common_window(clients) -> float:
    first = clients[0]
    for other in clients:
        if other.window_s != first.window_s:
            raise TraceError(
                f"its windows take {other.window_s:g} s, and those of client {first.name} "
                f"{first.window_s:g} s.",
                file=other.dataset,
                hint="Give clients of one kind.",
            )
    return first.window_s


def _pairs(
    client: np.ndarray, tenant: np.ndarray, window: int, windows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each window with each tenant, in order of client, window and tenant."""
    numbers = np.tile(np.arange(window, window + windows), len(tenant))
    tenants, clients = np.repeat(tenant, windows), np.repeat(client, windows)
    order = np.lexsort((numbers, clients))
    return numbers[order], tenants[order]


def _tables(clients, rate_scale: float) -> tuple[Gaps, np.ndarray]:
    """Gaps by client and window, and how many windows each client has."""
    cycles = np.array([len(client.rate) for client in clients])
    size = len(clients), int(cycles.max())
    rate, shape, weibull = np.zeros(size), np.ones(size), np.zeros(size, bool)
    for i, client in enumerate(clients):
        rate[i, : cycles[i]] = client.rate * rate_scale
        shape[i, : cycles[i]] = client.shape
        weibull[i, : cycles[i]] = client.is_weibull
    return Gaps(rate, shape, weibull), cycles


def _joined(parts: list[Requests]) -> Requests:
    return Requests(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
