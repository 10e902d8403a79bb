"""The serving engine: one step is all iterations up to the next event.

See docs/semantics.md. Between two events (an admission, a chunk, the end of a prompt, a
last token, an arrival that can be admitted, a change of intensity) a decode batch is
constant and its contexts grow by one token an iteration, so three evaluations of the cost
give the step's sums. A step that would run past an event is proposed again, shorter.

Many runs can advance in lockstep, as lanes: what a slot holds has the axes "slots lanes",
what belongs to a run "lanes".
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

    time: Float[Array, "*lanes"]  # s
    unclocked: Float[Array, "*lanes"]  # s that have passed and the clock's rounding hides
    prefill_left: Float[Array, "slots *lanes"]
    decode_left: Float[Array, "slots *lanes"]  # iterations
    num_admitted: Num[Array, "*lanes"]
    prefill_admitted: Num[Array, "*lanes"]
    reservation_admitted: Num[Array, "*lanes"]
    need_admitted: Num[Array, "*lanes"]
    longest: Float[Array, "*lanes"]  # iterations that the next proposal may have


class Step(eqx.Module):
    """Iterations of one batch; no weights and no participants where rejected."""

    start: Float[Array, "*lanes"]  # s
    end: Float[Array, "*lanes"]
    num_iterations: Float[Array, "*lanes"]
    intensity: Float[Array, "*lanes"]  # g/kWh, mean over the step
    batch: Batch
    measured: Measured
    player: Int[Array, "slots *lanes"]
    finished: Bool[Array, "slots *lanes"]


class Proposal(eqx.Module):
    """A step and the states on either side of it, where it is accepted and where not."""

    accepted: Bool[Array, "*lanes"]
    after: Progress
    stay: Progress  # the next proposal may be shorter
    step: Step

    def settle(self) -> tuple[Progress, Step]:
        """The state that follows, and the step; a rejected proposal has no effect."""
        progress = _choose(self.accepted, self.after, self.stay)
        return progress, _only_if(self.accepted, self.step)


def begin(queue: Queue) -> Progress:
    """Nothing admitted yet, the clock at the first arrival (0 if nobody comes)."""
    slots, lanes = queue.present.shape, queue.present.shape[1:]
    first = _earliest(queue.present, queue.arrival, jnp.zeros(lanes, queue.arrival.dtype))
    none = jnp.zeros(lanes, queue.reservation.dtype)
    return Progress(
        time=first,
        unclocked=jnp.zeros_like(first),
        prefill_left=jnp.broadcast_to(queue.prefill, slots),
        decode_left=jnp.broadcast_to(jnp.maximum(queue.decode - 1, 0), slots),
        num_admitted=none,
        prefill_admitted=none,
        reservation_admitted=none,
        need_admitted=none,
        longest=jnp.full(lanes, jnp.inf, queue.arrival.dtype),
    )


def _earliest(
    who: Bool[Array, "slots *lanes"],
    arrival: Float[Array, "slots *lanes"],
    if_none: Float[Array, "*lanes"],
) -> Float[Array, "*lanes"]:
    first = jnp.min(jnp.where(who, arrival, jnp.inf), axis=0)
    return jnp.where(jnp.any(who, axis=0), first, if_none)


def waiting(queue: Queue, progress: Progress) -> Bool[Array, "slots *lanes"]:
    return queue.present & (queue.order_count > progress.num_admitted)


def active(queue: Queue, progress: Progress) -> Bool[Array, "slots *lanes"]:
    """Requests admitted and not finished."""
    left = (progress.prefill_left > 0) | (progress.decode_left > 0)
    return queue.present & (queue.order_count <= progress.num_admitted) & left


def has_work(queue: Queue, progress: Progress) -> Bool[Array, "*lanes"]:
    """Whether somebody runs or waits; False too once the clock is not a number."""
    busy = waiting(queue, progress) | active(queue, progress)
    return jnp.any(busy, axis=0) & jnp.isfinite(progress.time)


def advance(queue: Queue, progress: Progress, server: Server) -> tuple[Progress, Step]:
    """The state after the next step, and the step; a rejected proposal has no effect."""
    return propose(queue, progress, server).settle()


def propose(queue: Queue, progress: Progress, server: Server) -> Proposal:
    """The next step, to be accepted where it stops before the next event."""
    caps = _caps(queue, server.caps)
    time, hidden = _clock(queue, progress)
    until = _until_arrival(queue, time, hidden)
    boundary = _look(queue, progress, caps, until)
    plan = POLICIES[server.policy](boundary, caps)
    batch = Batch(
        prefilling=plan.prefilling,
        chunk=plan.chunk,
        cached=queue.prefill - progress.prefill_left,
        ends_prompt=plan.prefilling & (progress.prefill_left - plan.chunk <= 0),
        decoding=plan.decoding,
        context=queue.prefill + queue.decode - progress.decode_left,
    )
    iterations = _longest_run(progress, batch)
    arrival_gap = _arrival_gap(until, boundary, plan)
    change_gap = server.intensity.next_change(time) - time
    if is_continuous(queue):
        gap = jnp.minimum(arrival_gap, change_gap)
        iterations, fits, longest = fit_real(iterations, gap, batch, server.cost)
    measured = measure(iterations, batch, server.cost)
    duration = jnp.sum(measured.weights * measured.latency, axis=0)
    if not is_continuous(queue):
        fits, longest = fit_whole(
            iterations, measured.latency, duration, arrival_gap, change_gap
        )
    work = has_work(queue, progress)
    accepted = (fits | ~batch.is_run) & work
    # A request larger than the KV capacity would wait for ever: the clock says so.
    stuck = work & ~jnp.any(plan.prefilling | plan.decoding, axis=0)
    end, unclocked = _add(time, duration + hidden)
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
    return Proposal(accepted, after, stay, step)


def _add(
    a: Float[Array, "*lanes"], b: Float[Array, "*lanes"]
) -> tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]:
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


def _clock(
    queue: Queue, progress: Progress
) -> tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]:
    """The time, moved on to the next arrival if nothing runs, and what it hides."""
    queued, now = waiting(queue, progress), progress.time
    idle = ~jnp.any(active(queue, progress), axis=0)
    arrival = _earliest(queued, queue.arrival, now)
    if queue.arrival_rest is None:
        moves = idle & (arrival > now)
        rest = jnp.zeros_like(now)
    else:
        first = queued & (queue.arrival == arrival)
        rest = _earliest(first, queue.arrival_rest, progress.unclocked)
        moves = idle & ((arrival - now) + (rest - progress.unclocked) > 0)
    return jnp.where(moves, arrival, now), jnp.where(moves, rest, progress.unclocked)


def _until_arrival(
    queue: Queue, time: Float[Array, "*lanes"], hidden: Float[Array, "*lanes"]
) -> Float[Array, "slots *lanes"]:
    """Seconds until each request arrives, 0 or less if it has."""
    until = queue.arrival - time
    return until if queue.arrival_rest is None else until + (queue.arrival_rest - hidden)


def _look(
    queue: Queue, progress: Progress, caps: Caps, until: Float[Array, "slots *lanes"]
) -> Boundary:
    """What the policy sees, `until` being the seconds to each arrival."""
    running, queued = active(queue, progress), waiting(queue, progress)
    counts = queue.reservation.dtype
    reserved = jnp.sum(jnp.where(running, queue.reservation, 0), dtype=counts, axis=0)
    num_running = jnp.sum(running, dtype=counts, axis=0)
    rank = queue.order_count - progress.num_admitted
    kv_ahead = queue.order_reservation - progress.reservation_admitted
    has_seat = (num_running + rank <= caps.max_num_seqs) & (
        reserved + kv_ahead <= caps.kv_capacity_tokens
    )
    return Boundary(
        queue=queue,
        prefill_left=progress.prefill_left,
        active=running,
        arrived=queued & (until <= 0),
        has_seat=has_seat,
        rank=rank,
        prefill_ahead=queue.order_prefill - progress.prefill_admitted,
        need_ahead=queue.order_need - progress.need_admitted - queue.need,
        idle=~jnp.any(running, axis=0),
    )


def _longest_run(progress: Progress, batch: Batch) -> Float[Array, "*lanes"]:
    """Iterations until the first last token, if no context would more than double."""
    decoding = batch.decoding
    last_token = jnp.min(jnp.where(decoding, progress.decode_left, jnp.inf), axis=0)
    shortest = jnp.min(jnp.where(decoding, jnp.floor(batch.context), jnp.inf), axis=0)
    iterations = jnp.minimum(jnp.minimum(last_token, shortest), progress.longest)
    return jnp.where(batch.is_run & jnp.isfinite(iterations), iterations, 1.0)


def _arrival_gap(
    until: Float[Array, "slots *lanes"], boundary: Boundary, plan: Plan
) -> Float[Array, "*lanes"]:
    """Seconds until the head of the queue arrives, infinite if it could not join then."""
    head = (boundary.rank == 1) & boundary.queue.present
    joins = jnp.any(head & boundary.has_seat, axis=0) & plan.open
    gap = jnp.min(jnp.where(head, until, jnp.inf), axis=0)
    return jnp.where(joins, gap, jnp.inf)


def _commit(
    queue: Queue,
    progress: Progress,
    plan: Plan,
    clock: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]],
    decode_left: Float[Array, "slots *lanes"],
) -> Progress:
    """The state once the step is done, `clock` being the time and what it hides."""
    newest = jnp.max(jnp.where(plan.prefilling, queue.order_count, 0), axis=0)
    up_to_newest = queue.order_count <= newest

    def reached(
        order: Num[Array, "slots *lanes"], before: Num[Array, "*lanes"]
    ) -> Num[Array, "*lanes"]:
        return jnp.maximum(before, jnp.max(jnp.where(up_to_newest, order, 0), axis=0))

    time, unclocked = clock
    return Progress(
        time=time,
        unclocked=unclocked,
        prefill_left=progress.prefill_left - plan.chunk,
        decode_left=decode_left,
        num_admitted=jnp.maximum(progress.num_admitted, newest),
        prefill_admitted=reached(queue.order_prefill, progress.prefill_admitted),
        reservation_admitted=reached(
            queue.order_reservation, progress.reservation_admitted
        ),
        need_admitted=reached(queue.order_need, progress.need_admitted),
        longest=jnp.full_like(progress.longest, jnp.inf),
    )


def _choose(condition: Bool[Array, "*lanes"], yes: Progress, no: Progress) -> Progress:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _only_if(accepted: Bool[Array, "*lanes"], step: Step) -> Step:
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
