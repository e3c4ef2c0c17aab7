"""What a call costs, where others use the processor too."""

import time
from collections.abc import Callable
from typing import Final

ROUNDS: Final = 5
"""The cheapest is told: a collection of garbage, or cold caches, fall into some of them."""
CALLS: Final = 10_000


def cost_s(call: Callable[[], object]) -> float:
    """Seconds that this process worked for one call; how long it waited to work does not count."""
    return min(_round_s(call) for _ in range(ROUNDS)) / CALLS


def _round_s(call: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - began
