"""The batches of a schedule: who takes part, and what each player brings."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._estimators.closed_form_schedules import participants
from carbjax._serving.steps import Steps

BROUGHT = (
    "chunk_tokens",
    "ended_prompts",
    "prefill_pairs",
    "prefill_kv",
    "decode_tokens",
    "decode_kv",
    "decode_kv_sq",
)
"""What a player brings to an iteration, of which the batch features are sums."""


@dataclasses.dataclass(frozen=True)
class Batches:
    """Runs of steps with one batch each, and an entry for each participant of a batch.

    A player that reads a prompt, whatever else it does, is of the class of prefills, any
    other participant of the class of decodes. A player's requests are one participant.
    """

    batch: Int[np.ndarray, " entries"]  # in ascending order
    player: Int[np.ndarray, " entries"]
    prefills: Bool[np.ndarray, " entries"]
    brought: Float[np.ndarray, "entries 7"]  # to the batch's first iteration
    size: int  # number of batches
    # The steps: which batch, nodes and weights of the sum over its iterations, counted
    # from the first one of the batch, and the carbon intensity.
    batch_of_step: Int[np.ndarray, " steps"]
    nodes: Float[np.ndarray, "steps 3"]
    weights: Float[np.ndarray, "steps 3"]
    intensity: Float[np.ndarray, " steps"]

    def count(self, who: Bool[np.ndarray, " entries"]) -> Int[np.ndarray, " batches"]:
        """How many of the participants `who` each batch has."""
        return np.bincount(self.batch[who], minlength=self.size)

    def mean(self, who: Bool[np.ndarray, " entries"]) -> Float[np.ndarray, "batches 7"]:
        """What the mean of the participants `who` brings; 0 where there is none."""
        sums = [
            np.bincount(self.batch[who], column[who], self.size)
            for column in self.brought.T
        ]
        return np.stack(sums, axis=1) / np.maximum(self.count(who), 1)[:, None]

    def take(self, wanted: Bool[np.ndarray, " batches"]) -> "Batches":
        """These batches alone."""
        number = np.cumsum(wanted) - 1
        entry, step = wanted[self.batch], wanted[self.batch_of_step]
        return Batches(
            batch=number[self.batch[entry]],
            player=self.player[entry],
            prefills=self.prefills[entry],
            brought=self.brought[entry],
            size=int(wanted.sum()),
            batch_of_step=number[self.batch_of_step[step]],
            nodes=self.nodes[step],
            weights=self.weights[step],
            intensity=self.intensity[step],
        )

    def deviation(self) -> Float[np.ndarray, "entries 7"]:
        """What each participant brings beyond the mean of its class."""
        means = np.stack([self.mean(~self.prefills), self.mean(self.prefills)])
        return self.brought - means[self.prefills.astype(int), self.batch]


def batches_of(steps: Steps, num_players: int, absent: int | None = None) -> Batches:
    """The batches without the player `absent`; others must take part.

    Successive decode runs of one batch are one.
    """
    player = np.asarray(steps.player)[0]
    taking = participants(steps)
    if absent is not None:
        taking = taking & (player != absent)
    some = taking.any(axis=1)
    taking = taking[some]
    iterations, nodes, weights, intensity = (
        np.asarray(x, np.float64)[some]
        for x in (
            steps.num_iterations,
            steps.measured.nodes,
            steps.measured.weights,
            steps.intensity,
        )
    )
    requests = {
        name: np.asarray(getattr(steps.batch, name), np.float64)[some] * taking
        for name in ("prefilling", "chunk", "cached", "ends_prompt", "decoding", "context")
    }
    goes_on = _goes_on(taking, requests["prefilling"], requests["context"], iterations)
    batch_of_step = np.concatenate([[0], np.cumsum(~goes_on)])
    first = np.flatnonzero(np.diff(batch_of_step, prepend=-1))
    elapsed = np.concatenate([[0.0], np.cumsum(iterations)[:-1]])
    offset = elapsed - elapsed[first][batch_of_step]
    batch, slot = np.nonzero(taking[first])
    at_first = {name: x[first][batch, slot] for name, x in requests.items()}
    key, entry = np.unique(batch * num_players + player[slot], return_inverse=True)
    return Batches(
        batch=key // num_players,
        player=key % num_players,
        prefills=np.bincount(entry, at_first["prefilling"]) > 0,
        brought=np.stack([np.bincount(entry, x) for x in _brought(**at_first)], axis=1),
        size=len(first),
        batch_of_step=batch_of_step,
        nodes=nodes + offset[:, None],
        weights=weights,
        intensity=intensity,
    )


def _goes_on(taking, prefilling, context, iterations) -> Bool[np.ndarray, " later"]:
    """Whether each step but the first is of the same decodes as the one before."""
    later = context[:-1] + iterations[:-1, None]
    same = (taking[1:] == taking[:-1]) & ((context[1:] == later) | ~taking[1:])
    decodes = ~prefilling.any(axis=1)
    return same.all(axis=1) & decodes[1:] & decodes[:-1]


def _brought(prefilling, chunk, cached, ends_prompt, decoding, context):
    """The columns of `BROUGHT` of each request."""
    return (
        chunk,
        ends_prompt,
        chunk * cached + chunk * (chunk + 1) / 2,
        prefilling * (cached + chunk),
        decoding,
        decoding * context,
        decoding * context**2,
    )
