"""The serving engine: one step is all iterations up to the next event.

See docs/semantics.md. Between two events (an admission, a chunk, the end of a prompt, a
last token, an arrival that can be admitted, a change of intensity) a decode batch is
constant and its contexts grow by one token an iteration, so three evaluations of the cost
give the step's sums. A step that would run past an event is proposed again, shorter.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from carbjax._carbon.intensity import RelativeIntensity
from carbjax._serving.policies import POLICIES, Boundary, Caps, Plan
from carbjax._serving.queue import Queue, is_continuous
from carbjax._serving.rule import discrete_gauss, iterations_within
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures

_LATENCY_DOUBT = 1e-3  # of one iteration: error of the interpolated last latency
_SNAP = 1e-9  # relative: a real-valued step this close to an event has reached it


class Server(eqx.Module):
    """All that the engine needs to know of a system."""

    cost: AbstractIterationCost
    caps: Caps
    intensity: RelativeIntensity
    policy: str = eqx.field(static=True)


class Progress(eqx.Module):
    """Where a run stands at an iteration boundary."""

    time: Float[Array, ""]  # s
    prefill_left: Float[Array, " slots"]
    decode_left: Float[Array, " slots"]  # iterations
    num_admitted: Num[Array, ""]
    prefill_admitted: Num[Array, ""]
    reservation_admitted: Num[Array, ""]
    need_admitted: Num[Array, ""]
    longest: Float[Array, ""]  # iterations that the next proposal may have


class Batch(eqx.Module):
    """Who takes part in an iteration, and with how many tokens."""

    prefilling: Bool[Array, " slots"]
    chunk: Float[Array, " slots"]  # prompt tokens read
    cached: Float[Array, " slots"]  # prompt tokens read before
    ends_prompt: Bool[Array, " slots"]
    decoding: Bool[Array, " slots"]
    context: Float[Array, " slots"]  # tokens that a decode reads

    @property
    def is_run(self) -> Bool[Array, ""]:
        """Decodes alone, so that several iterations can make a step."""
        return ~jnp.any(self.prefilling)

    @property
    def has_both_phases(self) -> Bool[Array, ""]:
        return jnp.any(self.prefilling) & jnp.any(self.decoding)

    def restrict(self, who: Bool[Array, " slots"]) -> "Batch":
        """The batch of these requests alone."""
        return Batch(
            prefilling=self.prefilling & who,
            chunk=jnp.where(who, self.chunk, 0.0),
            cached=self.cached,
            ends_prompt=self.ends_prompt & who,
            decoding=self.decoding & who,
            context=self.context,
        )


class Measured(eqx.Module):
    """Batch features and costs at the nodes of the sum over a step's iterations.

    See `rule.discrete_gauss`. A step with prefill chunks is one iteration: its outer
    nodes have no weight, and hold the chunks alone and the decodes alone.
    """

    nodes: Float[Array, "3"]
    weights: Float[Array, "3"]
    features: BatchFeatures  # "3"
    latency: Float[Array, "3"]  # s
    energy: Float[Array, "3"]  # J


class Step(eqx.Module):
    """Iterations of one batch; no weights and no participants where rejected."""

    start: Float[Array, ""]  # s
    end: Float[Array, ""]
    num_iterations: Float[Array, ""]
    intensity: Float[Array, ""]  # g/kWh, mean over the step
    batch: Batch
    measured: Measured
    player: Int[Array, " slots"]
    finished: Bool[Array, " slots"]


def begin(queue: Queue) -> Progress:
    """Nothing admitted yet, the clock at the first arrival (0 if nobody comes)."""
    first = _earliest(queue.present, queue.arrival, jnp.zeros((), queue.arrival.dtype))
    none = jnp.zeros((), queue.reservation.dtype)
    return Progress(
        time=first,
        prefill_left=queue.prefill,
        decode_left=jnp.maximum(queue.decode - 1, 0),
        num_admitted=none,
        prefill_admitted=none,
        reservation_admitted=none,
        need_admitted=none,
        longest=jnp.array(jnp.inf, queue.arrival.dtype),
    )


def _earliest(
    who: Bool[Array, " slots"], arrival: Float[Array, " slots"], if_none: Float[Array, ""]
) -> Float[Array, ""]:
    first = jnp.min(jnp.where(who, arrival, jnp.inf))
    return jnp.where(jnp.any(who), first, if_none)


def waiting(queue: Queue, progress: Progress) -> Bool[Array, " slots"]:
    return queue.present & (queue.order_count > progress.num_admitted)


def active(queue: Queue, progress: Progress) -> Bool[Array, " slots"]:
    """Requests admitted and not finished."""
    left = (progress.prefill_left > 0) | (progress.decode_left > 0)
    return queue.present & (queue.order_count <= progress.num_admitted) & left


def has_work(queue: Queue, progress: Progress) -> Bool[Array, ""]:
    """Whether somebody runs or waits; False too once the clock is not a number."""
    busy = waiting(queue, progress) | active(queue, progress)
    return jnp.any(busy) & jnp.isfinite(progress.time)


def advance(queue: Queue, progress: Progress, server: Server) -> tuple[Progress, Step]:
    """The state after the next step, and the step; a rejected proposal has no effect."""
    caps = _caps(queue, server.caps)
    boundary, time = _look(queue, progress, caps)
    plan = POLICIES[server.policy](boundary, caps)
    batch = Batch(
        prefilling=plan.prefilling,
        chunk=plan.chunk,
        cached=queue.prefill - progress.prefill_left,
        ends_prompt=plan.prefilling & (progress.prefill_left - plan.chunk <= 0),
        decoding=plan.decoding,
        context=queue.prefill + queue.decode - progress.decode_left,
    )
    iterations = _propose(progress, batch)
    arrival_gap = _arrival_gap(queue, boundary, plan) - time
    change_gap = server.intensity.next_change(time) - time
    if is_continuous(queue):
        gap = jnp.minimum(arrival_gap, change_gap)
        iterations, fits, longest = _fit_real(iterations, gap, batch, server.cost)
    measured = measure(iterations, batch, server.cost)
    duration = jnp.sum(measured.weights * measured.latency)
    if not is_continuous(queue):
        fits, longest = _fit_whole(
            iterations, measured.latency, duration, arrival_gap, change_gap
        )
    work = has_work(queue, progress)
    accepted = (fits | ~batch.is_run) & work
    # A request larger than the KV capacity would wait for ever: the clock says so.
    stuck = work & ~jnp.any(plan.prefilling | plan.decoding)
    end = jnp.where(stuck, jnp.nan, time + duration)
    left = jnp.maximum(progress.decode_left - iterations, 0.0)
    decode_left = jnp.where(plan.decoding, left, progress.decode_left)
    step = Step(
        start=time,
        end=end,
        num_iterations=iterations,
        intensity=server.intensity.mean(time, end),
        batch=batch,
        measured=measured,
        player=queue.player,
        finished=(batch.ends_prompt | plan.decoding) & (decode_left <= 0),
    )
    after = _commit(queue, progress, plan, end, decode_left)
    stay = eqx.tree_at(lambda p: p.longest, progress, longest)
    return _choose(accepted, after, stay), _only_if(accepted, step)


def _caps(queue: Queue, caps: Caps) -> Caps:
    """The caps in the queue's type of count."""
    as_counts = jax.tree.map(lambda x: x.astype(queue.reservation.dtype), caps)
    if not is_continuous(queue):
        return as_counts
    # Sums of real tokens round: a request that fills the cache exactly must still fit.
    roomy = as_counts.kv_capacity_tokens * (1 + _SNAP)
    return eqx.tree_at(lambda c: c.kv_capacity_tokens, as_counts, roomy)


def _look(
    queue: Queue, progress: Progress, caps: Caps
) -> tuple[Boundary, Float[Array, ""]]:
    """The boundary, and the time, moved on to the next arrival if nothing runs."""
    running, queued = active(queue, progress), waiting(queue, progress)
    idle = ~jnp.any(running)
    next_arrival = _earliest(queued, queue.arrival, progress.time)
    time = jnp.where(idle, jnp.maximum(progress.time, next_arrival), progress.time)
    counts = queue.reservation.dtype
    reserved = jnp.sum(jnp.where(running, queue.reservation, 0), dtype=counts)
    num_running = jnp.sum(running, dtype=counts)
    rank = queue.order_count - progress.num_admitted
    kv_ahead = queue.order_reservation - progress.reservation_admitted
    has_seat = (num_running + rank <= caps.max_num_seqs) & (
        reserved + kv_ahead <= caps.kv_capacity_tokens
    )
    boundary = Boundary(
        queue=queue,
        prefill_left=progress.prefill_left,
        active=running,
        arrived=queued & (queue.arrival <= time),
        has_seat=has_seat,
        rank=rank,
        prefill_ahead=queue.order_prefill - progress.prefill_admitted,
        need_ahead=queue.order_need - progress.need_admitted - queue.need,
        idle=idle,
    )
    return boundary, time


def _propose(progress: Progress, batch: Batch) -> Float[Array, ""]:
    """Iterations until the first last token, if no context would more than double."""
    decoding = batch.decoding
    last_token = jnp.min(jnp.where(decoding, progress.decode_left, jnp.inf))
    shortest = jnp.min(jnp.where(decoding, jnp.floor(batch.context), jnp.inf))
    iterations = jnp.minimum(jnp.minimum(last_token, shortest), progress.longest)
    return jnp.where(batch.is_run & jnp.isfinite(iterations), iterations, 1.0)


def _arrival_gap(queue: Queue, boundary: Boundary, plan: Plan) -> Float[Array, ""]:
    """When the head of the queue arrives, infinite if it could not join then."""
    head = (boundary.rank == 1) & queue.present
    joins = jnp.any(head & boundary.has_seat) & plan.open
    arrival = jnp.min(jnp.where(head, queue.arrival, jnp.inf))
    return jnp.where(joins, arrival, jnp.inf)


def _fit_whole(
    iterations: Float[Array, ""],
    latency: Float[Array, "3"],
    duration: Float[Array, ""],
    arrival_gap: Float[Array, ""],
    change_gap: Float[Array, ""],
) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Whether a run of whole iterations stops where it must, else a shorter length.

    The last iteration begins before the arrival; a run ends before the intensity
    changes, unless it is one iteration. In doubt the run is cut short, which is never
    wrong: the next step goes on from there.
    """
    last = latency[2]
    doubt = jnp.where(iterations > 3, _LATENCY_DOUBT * last, 0.0)
    begins_late = duration - last >= arrival_gap - doubt
    crosses = duration > change_gap
    fits = (iterations <= 1) | ~(begins_late | crosses)
    until_arrival = jnp.ceil(iterations_within(arrival_gap, iterations, latency))
    until_change = jnp.floor(iterations_within(change_gap, iterations, latency))
    shorter = jnp.minimum(jnp.minimum(until_arrival, until_change), iterations - 1)
    return fits, jnp.maximum(shorter, 1.0)


def _fit_real(
    iterations: Float[Array, ""],
    gap: Float[Array, ""],
    batch: Batch,
    cost: AbstractIterationCost,
) -> tuple[Float[Array, ""], Bool[Array, ""], Float[Array, ""]]:
    """Real iterations of a run that may end at an event, and as `_fit_whole`.

    Newton's method across proposals finds how many iterations fit. A run that reaches
    the event gets the derivative of the implicit function: how many fit depends on
    their latency.
    """

    def duration(m):
        measured = measure(m, batch, cost)
        return jnp.sum(measured.weights * measured.latency), measured.latency

    fixed = jax.lax.stop_gradient(iterations)
    (value, latency), (rate, _) = jax.jvp(duration, (fixed,), (jnp.ones_like(fixed),))
    ahead = jnp.isfinite(gap)
    gap = jnp.where(ahead, gap, 0.0)
    reached = batch.is_run & ahead & (jnp.abs(value - gap) <= _SNAP * (gap + rate))
    missing = jnp.where(reached, gap - value, 0.0)
    at_event = fixed + missing / jax.lax.stop_gradient(rate)
    shorter = jax.lax.stop_gradient(iterations_within(gap, fixed, latency))
    return (
        jnp.where(reached, at_event, iterations),
        reached | ~ahead | (value <= gap),
        shorter,
    )


def _run_features(batch: Batch, nodes: Float[Array, "3"]) -> BatchFeatures:
    """Features of the decodes alone, at the nodes along a run."""
    decoding, context = batch.decoding, batch.context
    num = jnp.sum(decoding, dtype=context.dtype)
    kv = jnp.sum(jnp.where(decoding, context, 0.0))
    kv_sq = jnp.sum(jnp.where(decoding, context**2, 0.0))
    count = jnp.broadcast_to(num, nodes.shape)
    zero = jnp.zeros_like(nodes)
    return BatchFeatures(
        num_tokens=count,
        num_sequences=count,
        prefill_pairs=zero,
        prefill_kv=zero,
        decode_tokens=count,
        decode_kv=kv + nodes * num,
        decode_kv_sq=kv_sq + 2 * nodes * kv + nodes**2 * num,
    )


def _chunk_features(batch: Batch) -> BatchFeatures:
    """Features of the prefill chunks alone."""
    chunk, cached = batch.chunk, batch.cached
    zero = jnp.zeros((), chunk.dtype)
    return BatchFeatures(
        num_tokens=jnp.sum(chunk),
        num_sequences=jnp.sum(batch.ends_prompt, dtype=chunk.dtype),
        prefill_pairs=jnp.sum(chunk * cached + chunk * (chunk + 1) / 2),
        prefill_kv=jnp.sum(jnp.where(batch.prefilling, cached + chunk, 0.0)),
        decode_tokens=zero,
        decode_kv=zero,
        decode_kv_sq=zero,
    )


def measure(
    iterations: Float[Array, ""], batch: Batch, cost: AbstractIterationCost
) -> Measured:
    """Features and costs at the nodes of a step."""
    nodes, weights = discrete_gauss(iterations)
    # With chunks it is one iteration of weights (0, 1, 0): chunks, all, decodes.
    chunks = jnp.where(batch.is_run, 0.0, jnp.array([1.0, 1.0, 0.0], nodes.dtype))
    decodes = jnp.where(batch.is_run, 1.0, jnp.array([0.0, 1.0, 1.0], nodes.dtype))
    nodes = jnp.where(batch.is_run, nodes, 0.0)
    run = _run_features(batch, nodes).scale(decodes)
    features = _chunk_features(batch).scale(chunks) + run
    latency, energy = cost(features)
    return Measured(nodes, weights, features, latency, energy)


def _commit(
    queue: Queue,
    progress: Progress,
    plan: Plan,
    end: Float[Array, ""],
    decode_left: Float[Array, " slots"],
) -> Progress:
    """The state once the step is done."""

    def reached(order: Num[Array, " slots"], before: Num[Array, ""]) -> Num[Array, ""]:
        return jnp.maximum(before, jnp.max(jnp.where(plan.admit, order, 0)))

    return Progress(
        time=end,
        prefill_left=progress.prefill_left - plan.chunk,
        decode_left=decode_left,
        num_admitted=reached(queue.order_count, progress.num_admitted),
        prefill_admitted=reached(queue.order_prefill, progress.prefill_admitted),
        reservation_admitted=reached(
            queue.order_reservation, progress.reservation_admitted
        ),
        need_admitted=reached(queue.order_need, progress.need_admitted),
        longest=jnp.full_like(progress.longest, jnp.inf),
    )


def _choose(condition: Bool[Array, ""], yes: Progress, no: Progress) -> Progress:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _only_if(accepted: Bool[Array, ""], step: Step) -> Step:
    """The step, or one without iterations, duration and participants."""
    return Step(
        start=step.start,
        end=jnp.where(accepted, step.end, step.start),
        num_iterations=jnp.where(accepted, step.num_iterations, 0.0),
        intensity=step.intensity,
        batch=step.batch.restrict(jnp.broadcast_to(accepted, step.finished.shape)),
        measured=eqx.tree_at(
            lambda m: m.weights,
            step.measured,
            jnp.where(accepted, step.measured.weights, 0.0),
        ),
        player=step.player,
        finished=step.finished & accepted,
    )
