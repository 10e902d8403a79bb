"""The form of an attention kernel's latency, and its fit for every head geometry."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Numbers = np.ndarray | Array  # of a fit, or traced

# Of a token: far below one, and its square is a normal float32.
_SLIVER = 1e-9


class KernelForm(eqx.Module):
    """Latency of a kernel in `tokens` x, `pairs` y and `kv` z: `f(x)^T C g(x, y, z)`.

        f = 1, x / (x + a_i)
        g = 1, y / (y + b_l), x, y, sqrt((s_j x)^2 + y^2), z, z / (z + c_m)

    with knots a, b, c and lengths s. Prefill has new tokens, query-key pairs and
    tokens read; decode has requests and tokens read, and no z (`kv` None, C without
    the columns of z). y / x is the mean number of tokens that a token looks at. Every
    entry is smooth over an octave, since its poles are far from the positive features;
    far away all is linear. Which C are monotone: see `attention_cone.py`.
    """

    token_knots: Float[Numbers, " factors"]
    pair_knots: Float[Numbers, " pair_knots"]
    lengths: Float[Numbers, " lengths"]
    kv_knots: Float[Numbers, " kv_knots"]
    coefficients: Float[Numbers, "factors+1 columns"]  # s

    def __call__(
        self,
        tokens: Float[Array, "*batch"],
        pairs: Float[Array, "*batch"],
        kv: Float[Array, "*batch"] | None = None,
    ) -> Float[Array, "*batch"]:
        """Seconds, the launch (C[0, 0]) included."""
        dtype = jnp.asarray(tokens).dtype
        c = jnp.asarray(self.coefficients, dtype)
        columns = self.columns(tokens, pairs, kv)
        rows = [c[i, 0] + _dot(c[i, 1:], columns) for i in range(c.shape[0])]
        total = rows[0]
        for knot, row in zip(_split(self.token_knots, dtype), rows[1:], strict=True):
            total = total + tokens / (tokens + knot) * row
        return total

    def columns(self, tokens, pairs, kv) -> list[Float[Array, "*batch"]]:
        """The entries of g but its 1."""
        dtype = jnp.asarray(tokens).dtype
        columns = [pairs / (pairs + b) for b in _split(self.pair_knots, dtype)]
        columns += [tokens, pairs]
        for length in _split(self.lengths, dtype):
            bend = length * (tokens + _SLIVER)
            columns.append(jnp.sqrt(bend * bend + pairs * pairs))
        if kv is not None:
            columns.append(kv)
            columns += [kv / (kv + c) for c in _split(self.kv_knots, dtype)]
        return columns

    @property
    def launch(self) -> Float[Numbers, ""]:
        """Seconds of a kernel with next to nothing to do."""
        return self.coefficients[0, 0]

    @property
    def kv_slope(self) -> Float[Numbers, ""]:
        """A bound from below of the seconds that a token of z adds, wherever it is."""
        return least_kv_slope(self.coefficients, self.kv_knots)


def least_kv_slope(coefficients, kv_knots) -> Float[Numbers, ""]:
    """The least derivative in z of the row of C without a factor.

    A z^2 / (z + c) starts flat: in C it is z - c z / (z + c).
    """
    first = coefficients[0]
    count = len(kv_knots)
    flat = [first[-count + m] / kv_knots[m] for m in range(count)]
    return first[-1 - count] + sum(min(value, 0.0) for value in flat)


class KernelFit(eqx.Module):
    """Kernel forms at nodes of a grid of head geometries; between them C is linear.

    At a node x counts `heads` a token, y and z too, each times `head_dim / 128`; the
    grid runs over log2 of heads and of query heads a key-value head (`groups`). Linear
    interpolation of C keeps whatever monotonicity the nodes have.
    """

    token_knots: Float[np.ndarray, " factors"]
    pair_knots: Float[np.ndarray, " pair_knots"]
    lengths: Float[np.ndarray, " lengths"]
    kv_knots: Float[np.ndarray, " kv_knots"]
    heads: Float[np.ndarray, " heads"]
    groups: Float[np.ndarray, " groups"]
    coefficients: Float[np.ndarray, "heads groups factors+1 columns"]  # s, one layer

    def at(
        self, heads: float, group: float, *, pair_scale: float, kv_scale: float = 1.0
    ) -> KernelForm:
        """The form of one layer in plain tokens, pairs and tokens read.

        `heads` scale tokens; `pair_scale` and `kv_scale` are what a pair and a token
        read count (heads times relative width and bytes).
        """
        share = np.outer(hats(self.heads, heads), hats(self.groups, group))
        c = np.einsum("hg,hgfc->fc", share, self.coefficients)
        pair, kv = len(self.pair_knots), len(self.kv_knots)
        scale = np.concatenate(
            [
                np.ones(1 + pair),
                [heads, pair_scale],
                np.full(len(self.lengths), pair_scale),
                [] if c.shape[1] == 3 + pair + len(self.lengths) else [kv_scale],
                np.ones(kv),
            ]
        )
        return KernelForm(
            token_knots=self.token_knots / heads,
            pair_knots=self.pair_knots / pair_scale,
            lengths=self.lengths * heads / pair_scale,
            kv_knots=self.kv_knots / kv_scale,
            coefficients=c * scale,
        )

    def to_record(self) -> dict:
        """Plain lists, rounded to six digits."""
        return {name: _rounded(value) for name, value in vars(self).items()}

    @staticmethod
    def from_record(record: dict) -> "KernelFit":
        return KernelFit(**{name: np.array(v, dtype=float) for name, v in record.items()})


def hats(nodes: Float[np.ndarray, " nodes"], value) -> Float[np.ndarray, "*rows nodes"]:
    """Shares of the nodes in a linear interpolation in log2, constant outside."""
    at = np.clip(np.log2(value), np.log2(nodes[0]), np.log2(nodes[-1]))
    unit = np.eye(len(nodes))
    return np.stack([np.interp(at, np.log2(nodes), row) for row in unit], axis=-1)


def _rounded(values) -> list:
    values = np.asarray(values)
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.6g}") for value in values]


def _split(values, dtype) -> list[Float[Array, ""]]:
    values = jnp.asarray(values, dtype)
    return [values[i] for i in range(values.shape[0])]


def _dot(coefficients, columns):
    total = coefficients[0] * columns[0]
    for i, column in enumerate(columns[1:], 1):
        total = total + coefficients[i] * column
    return total


class SharedKernel(eqx.Module):
    """What decode costs beside a chunk in one kernel, in seconds of one layer.

        beside(B, K) + serial (sqrt(R^2 + (K / side_by_side)^2) - R) - launch

    with R `prefill_kv`, `serial` = `serial_share` of prefill's seconds a token of R, and
    the smaller launch, which is saved. `beside` counts query heads. As `serial_share`
    is at most 1 the whole stays monotone in R.
    """

    beside: KernelFit
    serial_share: float
    side_by_side: float

    def to_record(self) -> dict:
        """Plain lists and numbers, rounded to six digits."""
        return {
            "beside": self.beside.to_record(),
            "serial_share": float(f"{self.serial_share:.6g}"),
            "side_by_side": self.side_by_side,
        }

    @staticmethod
    def from_record(record: dict) -> "SharedKernel":
        return SharedKernel(
            beside=KernelFit.from_record(record["beside"]),
            serial_share=record["serial_share"],
            side_by_side=record["side_by_side"],
        )
