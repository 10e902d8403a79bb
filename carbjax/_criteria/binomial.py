"""How sure one can be of a chance after so many trials."""

from scipy.special import betaincinv

from carbjax._criteria.bootstrap import Interval


def clopper_pearson(successes: int, trials: int, level: float = 0.9) -> Interval:
    """The exact interval of the chance of a success (Clopper and Pearson 1934).

    It holds the chance with at least this confidence whatever the chance is. (0, 1)
    before the first trial.
    """
    tail = (1 - level) / 2
    failures = trials - successes
    low = betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures else 1.0
    return Interval(float(low), float(high), level)
