"""Prints the sample trace: `python -m carbjax._cli.sample.make > sample.csv`.

Nothing in it was recorded. Lengths are independent lognormals and arrivals a Poisson
process, with the mean and standard deviation of log tokens, the range of tokens and the
request rate of the Azure LLM inference trace 2023, conversation (19,366 requests;
github.com/Azure/AzurePublicDataset, CC-BY-4.0; Patel et al., Splitwise, ISCA 2024).
The four tenants are invented.
"""

import datetime as dt
import random
from collections.abc import Iterator

NUM_REQUESTS = 64
REQUESTS_PER_S = 5.530
LOG_PROMPT, LOG_DECODE = (6.633, 0.985), (5.019, 0.859)  # mean, standard deviation
PROMPT_RANGE, DECODE_RANGE = (2, 14050), (7, 1000)  # tokens
TENANTS = ("assistant", "search", "support", "tutor")
START = dt.datetime(2023, 11, 16, 18, 0)
SEED = 2025


def rows() -> Iterator[str]:
    """The lines of the trace, the header first."""
    draw = random.Random(SEED)
    yield "request_id,tenant_id,arrival,prompt_tokens,decode_tokens"
    arrival = START
    for i in range(NUM_REQUESTS):
        prompt = _tokens(draw, LOG_PROMPT, PROMPT_RANGE)
        decode = _tokens(draw, LOG_DECODE, DECODE_RANGE)
        stamp = arrival.isoformat(timespec="milliseconds")
        yield f"chat-{i:03d},{draw.choice(TENANTS)},{stamp}Z,{prompt},{decode}"
        arrival += dt.timedelta(seconds=draw.expovariate(REQUESTS_PER_S))


def _tokens(draw: random.Random, log: tuple[float, float], bounds: tuple[int, int]) -> int:
    tokens = round(draw.lognormvariate(*log))
    return min(max(tokens, bounds[0]), bounds[1])


if __name__ == "__main__":
    print("\n".join(rows()))
