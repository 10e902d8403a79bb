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
from carbjax._serving.batch import Batch, Measured, measure
from carbjax._serving.events import fit_real, fit_whole
from carbjax._serving.policies import POLICIES, Boundary, Caps, Plan
from carbjax._serving.queue import Queue, is_continuous
from carbjax._surrogate.cost import AbstractIterationCost

_ROUNDING = 1e-9  # relative, of sums of real tokens


class Server(eqx.Module):
    """All that the engine needs to know of a system."""

    cost: AbstractIterationCost
    caps: Caps
    intensity: RelativeIntensity
    policy: str = eqx.field(static=True)


class Progress(eqx.Module):
    """Where a run stands at an iteration boundary."""

    time: Float[Array, ""]  # s
    unclocked: Float[Array, ""]  # s that have passed and the clock's rounding hides
    prefill_left: Float[Array, " slots"]
    decode_left: Float[Array, " slots"]  # iterations
    num_admitted: Num[Array, ""]
    prefill_admitted: Num[Array, ""]
    reservation_admitted: Num[Array, ""]
    need_admitted: Num[Array, ""]
    longest: Float[Array, ""]  # iterations that the next proposal may have


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
        unclocked=jnp.zeros_like(first),
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
        iterations, fits, longest = fit_real(iterations, gap, batch, server.cost)
    measured = measure(iterations, batch, server.cost)
    duration = jnp.sum(measured.weights * measured.latency)
    if not is_continuous(queue):
        fits, longest = fit_whole(
            iterations, measured.latency, duration, arrival_gap, change_gap
        )
    work = has_work(queue, progress)
    accepted = (fits | ~batch.is_run) & work
    # A request larger than the KV capacity would wait for ever: the clock says so.
    stuck = work & ~jnp.any(plan.prefilling | plan.decoding)
    on_time = time == progress.time  # it has not moved on to an arrival
    end, unclocked = _add(time, duration + jnp.where(on_time, progress.unclocked, 0.0))
    end = jnp.where(stuck, jnp.nan, end)
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
    after = _commit(queue, progress, plan, (end, unclocked), decode_left)
    stay = eqx.tree_at(lambda p: p.longest, progress, longest)
    return _choose(accepted, after, stay), _only_if(accepted, step)


def _add(
    a: Float[Array, ""], b: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """a + b, and what its rounding has left out of it.

    Source: Knuth, The Art of Computer Programming, vol. 2, 4.2.2, theorem B.
    """
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _caps(queue: Queue, caps: Caps) -> Caps:
    """The caps in the queue's type of count."""
    as_counts = jax.tree.map(lambda x: x.astype(queue.reservation.dtype), caps)
    if not is_continuous(queue):
        return as_counts
    # Sums of real tokens round: a request that fills the cache exactly must still fit.
    roomy = as_counts.kv_capacity_tokens * (1 + _ROUNDING)
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


def _commit(
    queue: Queue,
    progress: Progress,
    plan: Plan,
    clock: tuple[Float[Array, ""], Float[Array, ""]],
    decode_left: Float[Array, " slots"],
) -> Progress:
    """The state once the step is done, `clock` being the time and what it hides."""

    def reached(order: Num[Array, " slots"], before: Num[Array, ""]) -> Num[Array, ""]:
        return jnp.maximum(before, jnp.max(jnp.where(plan.admit, order, 0)))

    time, unclocked = clock
    return Progress(
        time=time,
        unclocked=unclocked,
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
