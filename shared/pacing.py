"""How long a loop rests from one piece of its work to the next. Pure.

A round trip to Kafka or Postgres costs nearly the same for one record as for ten. A loop that
begins anew as soon as it is done works in many small pieces, and on a busy machine takes from
others the time for which its own next records wait.

Rule 1: who found little rests as long as the work took, or a multiple of it: what comes meanwhile
        is worked off together, and where work is slow, pieces grow.
Rule 2: who found much goes on at once: more is waiting.
Rule 3: an outage that was waited out is no work; a rest has an end.
"""

import math
from typing import NamedTuple


class Pace(NamedTuple):
    """`times` as long as it worked, within `least_s` and `most_s`; less than `much` is little.
    Without that, all is.
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
