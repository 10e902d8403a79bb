"""One decoder layer as a single GPU of a tensor-parallel group runs it."""

import dataclasses as dc

from carbjax._errors import ConfigError
from carbjax._hardware import ModelShape


@dc.dataclass(frozen=True)
class LayerShape:
    """Sizes per GPU. Weights, activations and cache are measured in bf16."""

    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int

    @staticmethod
    def of(model: ModelShape, tensor_parallel: int = 1) -> "LayerShape":
        """The share of one of `tensor_parallel` GPUs.

        Raises `ConfigError` where heads or the feed-forward do not divide.
        """
        heads, kv_heads = model.num_heads, model.num_kv_heads
        divides = tensor_parallel >= 1 and not (
            heads % tensor_parallel or model.intermediate_size % tensor_parallel
        )
        # Where there are more GPUs than key-value heads, heads are copied.
        if not divides or (kv_heads % tensor_parallel and tensor_parallel % kv_heads):
            raise ConfigError(
                f"`tensor_parallel` is {tensor_parallel}, which cannot split {model.name}: "
                f"{heads} query heads, {kv_heads} key-value heads, feed-forward of "
                f"{model.intermediate_size}.",
                hint="Choose a degree that divides them, such as 1.",
            )
        return LayerShape(
            hidden_size=model.hidden_size,
            num_heads=heads // tensor_parallel,
            num_kv_heads=max(1, kv_heads // tensor_parallel),
            head_dim=model.head_dim,
            intermediate_size=model.intermediate_size // tensor_parallel,
        )

    @property
    def qkv_columns(self) -> int:
        return (self.num_heads + 2 * self.num_kv_heads) * self.head_dim

    @property
    def attention_columns(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """Columns n and depth k of each weight matrix."""
        return {
            "gate_up": (2 * self.intermediate_size, self.hidden_size),
            "down": (self.hidden_size, self.intermediate_size),
            "qkv": (self.qkv_columns, self.hidden_size),
            "o": (self.hidden_size, self.attention_columns),
        }
