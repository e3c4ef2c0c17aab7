"""What goes wrong in a scenario, and when: a function of its seed. Pure.

Rule 1: the same seed gives the same plan, on every machine.
Rule 2: faults overlap now and then, but never two of one target.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

WORKERS = ("orgs-1", "orgs-2", "scoring-1", "scoring-2", "query-1", "query-2")
INSTANCES = ("ingest-1", *WORKERS)
SERVERS = ("kafka", "postgres", "valkey")
LINKS = ("postgres", "valkey")
"""The servers that are reached through a relay. Kafka's clients learn its own address from it."""
CONSUMED = ("pipedrive.persons", "pipedrive.activities", "pipedrive.deals")


class Kind(StrEnum):
    KILL_SERVICE = "service killed"
    RESTART_SERVICE = "service restarted"
    FREEZE_SERVICE = "service frozen"
    KILL_SERVER = "server killed"
    FREEZE_SERVER = "server frozen"
    REFUSED = "connections refused"
    HALF_OPEN = "connections half-open"
    SLOW = "answers slow"
    SLOW_DISK = "disk slow"
    SLOW_SPOOL = "spool's disk slow"
    FULL_SPOOL = "spool full"
    STORM = "rebalance storm"
    LONG_OUTAGE = "server away for long"
    POISON = "poisoned record"
    CLOCK = "clock stepped"


@dataclass(frozen=True, slots=True)
class Drawn:
    """How often a kind is drawn, of whom, and between which lengths in seconds."""

    weight: int
    targets: Sequence[str]
    shortest_s: float
    longest_s: float


TABLE = {
    Kind.KILL_SERVICE: Drawn(4, INSTANCES, 0.2, 3.0),
    Kind.RESTART_SERVICE: Drawn(2, INSTANCES, 0.0, 0.5),
    # Longer than a consumer's session: its partitions go to the other member, and it comes back.
    Kind.FREEZE_SERVICE: Drawn(3, INSTANCES, 0.5, 14.0),
    Kind.KILL_SERVER: Drawn(3, SERVERS, 0.2, 3.0),
    Kind.FREEZE_SERVER: Drawn(3, SERVERS, 0.5, 8.0),
    Kind.REFUSED: Drawn(2, LINKS, 0.5, 5.0),
    Kind.HALF_OPEN: Drawn(2, LINKS, 0.5, 8.0),
    Kind.SLOW: Drawn(2, LINKS, 2.0, 5.0),
    Kind.SLOW_DISK: Drawn(2, ("kafka", "postgres"), 2.0, 6.0),
    # Both with Kafka frozen: nothing else makes ingest use its spool.
    Kind.SLOW_SPOOL: Drawn(1, ("kafka",), 2.0, 6.0),
    Kind.FULL_SPOOL: Drawn(2, ("kafka",), 3.0, 6.0),
    Kind.STORM: Drawn(2, ("orgs-3", "scoring-3", "query-3"), 2.0, 4.0),
    # Longer than a batch in hand may keep a rebalance waiting (DRAIN_S).
    Kind.LONG_OUTAGE: Drawn(2, ("kafka", "postgres"), 25.0, 40.0),
    Kind.POISON: Drawn(2, CONSUMED, 0.0, 0.0),
    Kind.CLOCK: Drawn(2, WORKERS, 1.0, 4.0),
}

FAULTS = (4, 7)
QUIET_S = (0.5, 2.0)
OVERLAP = 0.3
BEGIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    target: str
    at_s: float
    lasts_s: float

    @property
    def ends_s(self) -> float:
        return self.at_s + self.lasts_s


@dataclass(frozen=True, slots=True)
class Plan:
    """`shuffled`: events come in any order at all; else only duplicated and a little late."""

    seed: int
    shuffled: bool
    faults: tuple[Fault, ...]

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(fault.kind for fault in self.faults)

    @property
    def lasts_s(self) -> float:
        return max(fault.ends_s for fault in self.faults)


def plan(seed: int, *, kinds: Sequence[Kind]) -> Plan:
    rng = Random(seed)  # noqa: S311 - repeatable, not secret
    shuffled = rng.random() < 0.5
    faults: list[Fault] = []
    weights = [TABLE[kind].weight for kind in kinds]
    at_s = BEGIN_S
    for _ in range(rng.randint(*FAULTS)):
        kind = rng.choices(kinds, weights)[0]
        drawn = TABLE[kind]
        target = rng.choice(drawn.targets)
        lasts_s = round(rng.uniform(drawn.shortest_s, drawn.longest_s), 2)
        busy = [fault.ends_s for fault in faults if fault.target == target]
        fault = Fault(kind, target, round(max(at_s, *busy, 0.0), 2), lasts_s)
        faults.append(fault)
        overlaps = rng.random() < OVERLAP
        at_s = fault.at_s + fault.lasts_s * (0.5 if overlaps else 1) + rng.uniform(*QUIET_S)
    return Plan(seed, shuffled, tuple(faults))
