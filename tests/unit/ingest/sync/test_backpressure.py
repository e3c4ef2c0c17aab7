"""When a sync waits for those who read what it writes."""

from collections.abc import Iterable

import pytest

from services.ingest.sync.backpressure import AHEAD_S, LEAST, LOOK_S, RATE_S, STILL_S, Reader
from shared.kafka.group_lag import Lag
from shared.kafka.offsets import Partition

PACE = 4_000
"""Records a second: more than LEAST in AHEAD_S."""
MOST = int(AHEAD_S * PACE)


def seen(*partitions: Iterable[Lag], every_s: float = LOOK_S) -> Reader:
    """Each look at all of them."""
    reader = Reader()
    for number, lags in enumerate(zip(*partitions, strict=True)):
        places = {Partition("a topic", place): each for place, each in enumerate(lags)}
        reader.note(places, number * every_s)
    return reader


def steady(behind: int, looks: int = 20) -> list[Lag]:
    """A reader that reads at PACE, and is as far behind all the time."""
    return [Lag(int(number * LOOK_S * PACE), behind) for number in range(looks)]


@pytest.mark.parametrize(("behind", "added", "waits"), [(LEAST, 0, False), (LEAST, 1, True)])
def test_who_was_not_seen_reading_yet_may_have_so_many_before_it(
    behind: int, added: int, waits: bool
) -> None:
    assert seen([Lag(0, behind)]).is_waited_for(added) is waits


@pytest.mark.parametrize(("added", "waits"), [(9, False), (10, True)])
def test_a_quick_one_may_have_what_it_reads_in_that_time(added: int, waits: bool) -> None:
    assert seen(steady(MOST - 9)).is_waited_for(added) is waits


def test_how_quick_it_is_is_what_it_did_of_late() -> None:
    quick = steady(MOST)
    slow = [Lag(quick[-1].done + number, MOST) for number in range(20)]

    assert seen([*quick, *slow]).is_waited_for(0)
    assert seen([*quick, *slow]).rate() == pytest.approx(1 / LOOK_S)


def test_one_that_does_not_get_on_is_waited_for_no_longer_until_it_does() -> None:
    looks = int(STILL_S / LOOK_S)
    stuck = [Lag(5, LEAST + 1)] * (looks + 1)

    assert seen(stuck[:-1]).is_waited_for(0)
    assert not seen(stuck).is_waited_for(0)
    assert seen([*stuck, Lag(6, LEAST + 1)]).is_waited_for(0)


def test_what_one_instance_of_several_does_not_read_is_not_waited_for() -> None:
    looks = int(STILL_S / LOOK_S) + 1
    stuck = [Lag(5, LEAST + 1)] * looks
    moving = [Lag(number, 1) for number in range(looks)]

    assert seen(stuck[:-1], moving[:-1]).is_waited_for(0)
    assert not seen(stuck, moving).is_waited_for(0)
    assert seen(stuck, moving).is_waited_for(LEAST)


def test_one_that_had_nothing_to_read_for_long_has_not_stood_still() -> None:
    idle = [Lag(5, 0), Lag(5, 0), Lag(5, LEAST + 1)]

    assert seen(idle, every_s=2 * STILL_S).is_waited_for(0)


def test_what_was_seen_long_ago_says_nothing_of_its_pace() -> None:
    reader = seen(steady(0))
    reader.note({Partition("a topic", 0): Lag(10**9, MOST)}, 1_000.0)

    assert reader.rate() == 0
    assert len(reader.seen) <= RATE_S / LOOK_S + 1
