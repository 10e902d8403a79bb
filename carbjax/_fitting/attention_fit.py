"""Fits of prefill and decode attention to profiles of any head geometries."""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool, Float

from carbjax._errors import ProfileError
from carbjax._fitting.attention_cone import FEATURES, cone
from carbjax._fitting.attention_nnls import NonNegative, relative_fit
from carbjax._profiles.profile import Profile
from carbjax._surrogate.attention_forms import KernelFit, hats

HEAD_DIM = 128  # of the profiles; other widths count in proportion
_MIN_ROWS = 4
_BEYOND = 4.0
_TINY_PROMPT = 64
_TINY_PROMPT_WEIGHT = 0.05


@dc.dataclass(frozen=True)
class Grid:
    """Where the forms of a fit may bend: see `KernelForm`."""

    token_knots: tuple[float, ...]  # tokens x heads
    pair_knots: tuple[float, ...]  # pairs x heads
    lengths: tuple[float, ...]  # tokens
    kv_knots: tuple[float, ...] | None
    heads: tuple[float, ...]
    groups: tuple[float, ...]
    tie: float = 0.3  # how much of a row's error a difference of neighbouring nodes is


PREFILL = Grid(
    token_knots=(2e3, 8e3, 3e4, 2e6),
    pair_knots=(1e6, 1e7),
    lengths=(64.0, 512.0),
    kv_knots=(4e3,),
    heads=(4.0, 16.0, 64.0),
    groups=(1.0, 4.0, 16.0),
)
DECODE = Grid(
    token_knots=(8.0, 64.0, 512.0),
    pair_knots=(3e4, 4e5, 4e6),
    lengths=(32.0, 256.0, 2048.0),
    kv_knots=None,
    heads=(1.0, 4.0, 16.0),
    groups=(1.0, 4.0, 16.0),
    tie=0.03,
)


@dc.dataclass(frozen=True)
class Work:
    """Rows in the units of a `KernelFit`: tokens, pairs and kv times heads."""

    tokens: Float[np.ndarray, " rows"]
    pairs: Float[np.ndarray, " rows"]
    kv: Float[np.ndarray, " rows"] | None
    heads: Float[np.ndarray, " rows"]
    groups: Float[np.ndarray, " rows"]


def prefill_work(rows: Profile) -> Work:
    """Work of the prefill kernel, in query heads (kv: key-value heads).

    Tokens of decode requests in the same batch count too, as the engine counts them.
    """
    width = rows.head_dim / HEAD_DIM
    return Work(
        tokens=rows.num_heads * rows.num_tokens,
        pairs=rows.num_heads * width * rows.prefill_pairs,
        kv=rows.num_kv_heads * width * rows.prefill_kv,
        heads=rows.num_heads,
        groups=rows.num_heads / rows.num_kv_heads,
    )


def decode_work(rows: Profile) -> Work:
    """Work of the decode kernel, in key-value heads."""
    width = rows.head_dim / HEAD_DIM
    return Work(
        tokens=rows.num_kv_heads * rows.decode_tokens,
        pairs=rows.num_kv_heads * width * rows.decode_kv,
        kv=None,
        heads=rows.num_kv_heads,
        groups=rows.num_heads / rows.num_kv_heads,
    )


@dc.dataclass(frozen=True)
class Fitted:
    """A kernel fit, and what is uncertain about it.

    `launch_std` in s; `rms` relative; `pieces` the number of monotone pieces in use.
    """

    kernel: KernelFit
    launch_std: float
    rms: float
    pieces: int


def fit_prefill(
    profile: Profile,
    train: Bool[np.ndarray, " rows"],
    *,
    grid: Grid = PREFILL,
    monotone: str = FEATURES,
) -> Fitted:
    """The prefill kernel from the rows `train`.

    Batches of prompts below 64 tokens count a twentieth: their time is that of
    part-filled tiles, one a prompt, and the number of prompts is no feature.
    """
    work = prefill_work(profile)
    weights = train * np.where(_tiny_prompts(profile), _TINY_PROMPT_WEIGHT, 1.0)
    return fit_kernel(work, profile.latency_s, weights, grid, monotone)


def fit_decode(
    profile: Profile,
    train: Bool[np.ndarray, " rows"],
    *,
    grid: Grid = DECODE,
    monotone: str = FEATURES,
) -> Fitted:
    """The decode kernel from the rows `train`.

    It bends only where rows lie well beyond the bend: other bends follow the noise, and
    beyond the rows they explode.
    """
    work, weights = decode_work(profile), train.astype(float)
    largest = work.pairs[train].max(initial=0.0)
    knots = tuple(knot for knot in grid.pair_knots if knot * _BEYOND <= largest)
    grid = dc.replace(grid, pair_knots=knots)
    return fit_kernel(work, profile.latency_s, weights, grid, monotone)


def fit_kernel(
    work: Work,
    latency_s: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"],
    grid: Grid,
    monotone: str = FEATURES,
) -> Fitted:
    """A monotone kernel fit of rows in its units. Deterministic; no start is needed.

    Raises `ProfileError` with fewer than four rows, or rows of one size.
    """
    _check(work, weights)
    grid = thinned(grid, work, weights)
    shares, pieces = node_shares(grid, work), grid_cone(grid, monotone)
    design = design_of(grid, work, pieces)
    full = (shares[:, :, None] * design[:, None, :]).reshape(len(latency_s), -1)
    ties = _ties(grid, design / latency_s[:, None], weights)
    found = relative_fit(full, latency_s, weights, ties)
    by_node = found.coefficients.reshape(shares.shape[1], -1)
    kernel = kernel_of(grid, np.einsum("np,pfc->nfc", by_node, pieces))
    return Fitted(
        kernel=kernel,
        launch_std=_launch_std(found, shares, len(pieces)),
        rms=found.rms,
        pieces=int((found.coefficients > 0).sum()),
    )


def _ties(grid: Grid, relative, weights) -> Float[np.ndarray, "columns columns"]:
    """A penalty on how much neighbouring nodes differ, on the rows of the profile.

    It decides for head geometries that no row tells of, and hardly for others.
    """
    heads, groups = len(grid.heads), len(grid.groups)
    steps = [np.diff(np.eye(heads), axis=0), np.diff(np.eye(groups), axis=0)]
    along = [step.T @ step for step in steps]
    laplacian = np.kron(along[0], np.eye(groups)) + np.kron(np.eye(heads), along[1])
    gram = relative.T @ (weights[:, None] * relative) / (heads * groups)
    return grid.tie * np.kron(laplacian, gram)


def predict(kernel: KernelFit, work: Work) -> Float[np.ndarray, " rows"]:
    """Seconds of one layer of each row."""
    grid = Grid(
        tuple(kernel.token_knots),
        tuple(kernel.pair_knots),
        tuple(kernel.lengths),
        None if work.kv is None else tuple(kernel.kv_knots),
        tuple(kernel.heads),
        tuple(kernel.groups),
    )
    flat = kernel.coefficients.reshape(-1, *kernel.coefficients.shape[2:])
    return np.einsum("rn,rf,nfc,rc->r", node_shares(grid, work), *_basis(grid, work, flat))


def thinned(grid: Grid, work: Work, weights: Float[np.ndarray, " rows"]) -> Grid:
    """The grid with no more nodes than the trained rows have head geometries."""
    used = weights > 0

    def nodes(all_nodes, values):
        seen = np.unique(values[used])
        return all_nodes if len(seen) > len(all_nodes) else tuple(float(v) for v in seen)

    return dc.replace(
        grid, heads=nodes(grid.heads, work.heads), groups=nodes(grid.groups, work.groups)
    )


def node_shares(grid: Grid, work: Work) -> Float[np.ndarray, "rows nodes"]:
    """How far each row belongs to each node of the grid of geometries."""
    heads = hats(np.array(grid.heads), work.heads)
    groups = hats(np.array(grid.groups), work.groups)
    return (heads[:, :, None] * groups[:, None, :]).reshape(len(work.heads), -1)


def design_of(grid: Grid, work: Work, pieces) -> Float[np.ndarray, "rows pieces"]:
    """The seconds of each piece, at coefficient 1, in each row."""
    factors, _, columns = _basis(grid, work, None)
    return np.einsum("rf,pfc,rc->rp", factors, pieces, columns, optimize=True)


def kernel_of(grid: Grid, coefficients: Float[np.ndarray, "nodes factors+1 columns"]):
    """A kernel fit with C at the nodes of a grid."""
    shape = (len(grid.heads), len(grid.groups), *coefficients.shape[1:])
    names = ("token_knots", "pair_knots", "lengths", "heads", "groups")
    return KernelFit(
        **{name: np.array(getattr(grid, name)) for name in names},
        kv_knots=np.array(grid.kv_knots or ()),
        coefficients=coefficients.reshape(shape),
    )


def _basis(grid: Grid, work: Work, between):
    x, y, z = work.tokens, work.pairs, work.kv
    one = np.ones_like(x)
    factors = [one, *(x / (x + a) for a in grid.token_knots)]
    columns = [one, *(y / (y + b) for b in grid.pair_knots), x, y]
    columns += [np.hypot(s * x, y) for s in grid.lengths]
    if z is not None:
        columns += [z, *(z / (z + c) for c in grid.kv_knots or ())]
    return np.stack(factors, axis=1), between, np.stack(columns, axis=1)


def grid_cone(
    grid: Grid, monotone: str = FEATURES
) -> Float[np.ndarray, "pieces factors+1 columns"]:
    """The monotone pieces with the bends of a grid."""
    return cone(
        np.array(grid.token_knots),
        np.array(grid.pair_knots),
        np.array(grid.lengths),
        None if grid.kv_knots is None else np.array(grid.kv_knots),
        monotone,
    )


def _check(work: Work, weights: Float[np.ndarray, " rows"]) -> None:
    used = weights > 0
    if used.sum() < _MIN_ROWS:
        raise ProfileError(
            f"{int(used.sum())} rows of attention are too few to fit.",
            hint=f"Give at least {_MIN_ROWS}, of different sizes.",
        )
    if len(np.unique(work.pairs[used])) < 2:
        raise ProfileError(
            "all rows of attention have the same size.",
            hint="Profile several batch sizes and lengths.",
        )


def _tiny_prompts(profile: Profile) -> Bool[np.ndarray, " rows"]:
    # With nothing cached, pairs = n p (p + 1) / 2 and kv = n p.
    prompt = 2 * profile.prefill_pairs / np.maximum(profile.prefill_kv, 1.0) - 1
    return (prompt < _TINY_PROMPT) & (profile.prefill_kv > 1.5 * prompt)


def _launch_std(found: NonNegative, shares, num_pieces: int) -> float:
    mean = np.zeros(len(found.coefficients))
    mean[::num_pieces] = shares.mean(axis=0)
    return float(np.sqrt(mean @ found.covariance @ mean))
