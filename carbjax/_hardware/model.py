"""The shape of a transformer, as far as its cost depends on it."""

import equinox as eqx

from carbjax._errors import ConfigError


class ModelShape(eqx.Module):
    """A decoder-only transformer with gated feed-forward and grouped queries.

    Dense, unless `num_experts` is given: then each layer but the first
    `num_dense_layers` sends a token to `experts_per_token` of its experts, each a gated
    feed-forward of `expert_intermediate_size`, and `intermediate_size` is that of the
    dense layers alone.

    All layers attend to the whole context, unless `sliding_window` is given: then
    `sliding_layers` of them attend to the last `sliding_window` tokens only.
    """

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
    num_experts: int = eqx.field(static=True, default=0)  # of a layer; 0: dense
    experts_per_token: int = eqx.field(static=True, default=0)
    expert_intermediate_size: int = eqx.field(static=True, default=0)
    num_dense_layers: int = eqx.field(static=True, default=0)  # in a mixture of experts
    sliding_window: int = eqx.field(static=True, default=0)  # tokens; 0: none
    sliding_layers: int = eqx.field(static=True, default=0)  # that have the window

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
        self._check_experts()
        self._check_window()

    def _check_experts(self) -> None:
        sizes = (self.num_experts, self.experts_per_token, self.expert_intermediate_size)
        if any(sizes) and min(sizes) < 1:
            raise ConfigError(
                f"model {self.name!r} has num_experts {sizes[0]}, experts_per_token "
                f"{sizes[1]}, expert_intermediate_size {sizes[2]}.",
                hint="Give all three, or none for a dense model.",
            )
        if any(sizes) and self.experts_per_token >= self.num_experts:
            raise ConfigError(
                f"model {self.name!r} sends a token to {self.experts_per_token} of "
                f"{self.num_experts} experts.",
                hint="A token goes to fewer experts than there are.",
            )
        most = self.num_layers - 1 if self.num_experts else 0
        if not 0 <= self.num_dense_layers <= most:
            raise ConfigError(
                f"`num_dense_layers` of model {self.name!r} is {self.num_dense_layers}.",
                hint=f"Give 0 to {most}; 0 for a model without experts.",
            )

    def _check_window(self) -> None:
        neither = self.sliding_window == 0 and self.sliding_layers == 0
        both = self.sliding_window >= 1 and 1 <= self.sliding_layers <= self.num_layers
        if not (neither or both):
            raise ConfigError(
                f"model {self.name!r} has sliding_window {self.sliding_window} and "
                f"sliding_layers {self.sliding_layers}.",
                hint=f"Give tokens, and 1 to {self.num_layers} layers; or neither.",
            )

    @property
    def num_moe_layers(self) -> int:
        """Layers whose feed-forward is a mixture of experts."""
        return self.num_layers - self.num_dense_layers if self.num_experts else 0

    @property
    def num_parameters(self) -> int:
        """Weights of all experts, embeddings included."""
        attention = (
            self.hidden_size * self.head_dim * (2 * self.num_heads + 2 * self.num_kv_heads)
        )
        dense = 3 * self.hidden_size * self.intermediate_size
        expert = 3 * self.hidden_size * self.expert_intermediate_size
        mixture = self.num_experts * (expert + self.hidden_size)  # with the router's row
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
        return (
            self.num_layers * attention
            + (self.num_layers - self.num_moe_layers) * dense
            + self.num_moe_layers * mixture
            + embeddings
        )

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights, before any sharding."""
        return self.num_parameters * self.bytes_per_weight

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of KV cache that one token holds, all layers, before any sharding.

        Layers with a sliding window count in full. So they do for a request no longer
        than the window; of a longer one they need keep no more than the window.
        """
        per_layer = 2 * self.num_kv_heads * self.head_dim * self.bytes_per_kv_element
        return self.num_layers * per_layer
