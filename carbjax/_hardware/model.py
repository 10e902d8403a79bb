"""The shape of a transformer, as far as its cost depends on it."""

import equinox as eqx

from carbjax._errors import ConfigError


class ModelShape(eqx.Module):
    """A dense decoder-only transformer with gated feed-forward and grouped queries."""

    name: str = eqx.field(static=True)
    num_layers: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    num_heads: int = eqx.field(static=True)
    num_kv_heads: int = eqx.field(static=True)
    head_dim: int = eqx.field(static=True)
    intermediate_size: int = eqx.field(static=True)
    vocab_size: int = eqx.field(static=True)
    tied_embeddings: bool = eqx.field(static=True, default=False)
    bytes_per_weight: float = eqx.field(static=True, default=2.0)
    bytes_per_kv_element: float = eqx.field(static=True, default=2.0)

    def __check_init__(self):
        for field in (
            "num_layers hidden_size num_heads num_kv_heads head_dim "
            "intermediate_size vocab_size"
        ).split():
            if getattr(self, field) < 1:
                raise ConfigError(f"`{field}` of model {self.name!r} is below 1.")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"model {self.name!r} has {self.num_heads} query heads, no multiple of "
                f"its {self.num_kv_heads} key-value heads."
            )

    @property
    def num_parameters(self) -> int:
        attention = (
            self.hidden_size * self.head_dim * (2 * self.num_heads + 2 * self.num_kv_heads)
        )
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
        return self.num_layers * (attention + feed_forward) + embeddings

    @property
    def weight_bytes(self) -> float:
        return self.num_parameters * self.bytes_per_weight

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of KV cache that one token holds, all layers, before any sharding."""
        per_layer = 2 * self.num_kv_heads * self.head_dim * self.bytes_per_kv_element
        return self.num_layers * per_layer
