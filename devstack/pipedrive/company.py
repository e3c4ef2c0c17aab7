"""A company's life in Pipedrive: its history up to an epoch, then endless live changes.

Rule 1: the same seed, sizes, epoch and clock give the same changes, number by number.
Rule 2: changes come in the order in which they happened.
Rule 3: the history ends at the epoch and is denser the nearer it comes to it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from devstack.pipedrive import happenings, orgs, people, shapes
from devstack.pipedrive.changes import Change
from devstack.pipedrive.world import FIRST_USER_ID, Sizes, World

Happening = Callable[[World], Iterator[Change]]
Clock = Callable[[int], datetime]

USUAL: Mapping[Happening, float] = MappingProxyType(
    {**happenings.HAPPENINGS, **orgs.HAPPENINGS, **people.HAPPENINGS}
)
# Everything that is rare in life happens often: for tests of the rare.
EVENTFUL: Mapping[Happening, float] = MappingProxyType(
    {one: weight + 2 for one, weight in USUAL.items()}
)
SPAN_DAYS = 730.0
# The steady part keeps half a million contacts from crowding within one millisecond.
STEADY_PART = 0.1


class Company:
    """Iterate `history()` to its end, then `live(clock)`."""

    def __init__(
        self,
        seed: int,
        sizes: Sizes,
        epoch: datetime,
        weights: Mapping[Happening, float] = USUAL,
    ) -> None:
        self.sizes = sizes
        self.epoch = epoch.astimezone(UTC).replace(microsecond=0)
        self.world = World(seed, sizes, self._born)
        self._happenings = tuple(weights)
        self._weights = tuple(weights.values())

    @property
    def progress(self) -> float:
        """Share of the history's contacts that have been added."""
        return min(1.0, self.world.people / max(1, self.sizes.people))

    @property
    def user_ids(self) -> tuple[int, ...]:
        return tuple(range(FIRST_USER_ID, FIRST_USER_ID + self.sizes.users))

    def history(self) -> Iterator[Change]:
        world = self.world
        for user_id in self.user_ids:
            yield world.create("user", shapes.user(user_id, world.now, world.rng), user_id)
        for number in range(1, self.sizes.people + 1):
            self._advance(self._born(number))
            while len(world.orgs) < self.sizes.organizations * number / self.sizes.people:
                yield from orgs.org_added(world)
            newborn = dict(world.person(number))
            yield world.create("person", newborn, newborn["owner_id"])
            yield from self._bustle(number)

    def live(self, clock: Clock) -> Iterator[Change]:
        """`clock` tells the time of the change of a number; it must not depend on the wall."""
        while True:
            self._advance(clock(self.world.number + 1))
            yield from self._happen()

    def _bustle(self, number: int) -> Iterator[Change]:
        whole = int(self.sizes.bustle)
        count = whole + (self.world.rng.random() < self.sizes.bustle - whole)
        for turn in range(count):
            self._advance(self._at(number + (turn + 1) / (count + 1)))
            yield from self._happen()

    def _happen(self) -> Iterator[Change]:
        (happening,) = self.world.rng.choices(self._happenings, self._weights)
        return happening(self.world)

    def _advance(self, to: datetime) -> None:
        self.world.now = max(self.world.now, to)

    def _born(self, number: int) -> datetime:
        return self._at(number)

    def _at(self, position: float) -> datetime:
        left = 1 - position / (self.sizes.people + 1)
        age_days = SPAN_DAYS * ((1 - STEADY_PART) * left**3 + STEADY_PART * left)
        at = self.epoch - timedelta(days=age_days)
        return at.replace(microsecond=at.microsecond // 1000 * 1000)
