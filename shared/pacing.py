"""How long a loop pauses between two pieces of its work. Pure.

A round trip to Kafka or Postgres costs nearly the same for one record as for ten. A loop that
restarts as soon as it is done works in many small pieces, and on a busy machine takes CPU time
from others for which its own next records wait.

Rule 1: after finding little, a loop pauses as long as the work took, or a multiple of it: what
        arrives meanwhile is processed together, and where work is slow, pieces grow.
Rule 2: after finding much, it continues at once: more is waiting.
Rule 3: waiting out an outage is not work; a pause is bounded.
"""

import math
from typing import NamedTuple


class Pace(NamedTuple):
    """Pauses `times` its working time, within `least_s` and `most_s`; less than `much` is little.
    Without `much`, everything is.
    """

    times: float
    least_s: float
    most_s: float
    much: float = math.inf

    def rest(self, worked_s: float, found: int = 0) -> float:
        """Seconds."""
        if found >= self.much:
            return 0.0
        return min(max(self.times * worked_s, self.least_s), self.most_s)
