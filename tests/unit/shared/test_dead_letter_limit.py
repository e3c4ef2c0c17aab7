"""When too many records are poison the line stops."""

from hypothesis import given
from hypothesis import strategies as st

from shared.kafka.dead_letters import Limit

BATCHES = st.lists(
    st.tuples(st.floats(0, 40), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60
)


@given(BATCHES)
def test_it_stops_where_a_look_at_all_batches_of_the_window_says_so(
    drawn: list[tuple[float, int, int]],
) -> None:
    limit = Limit(letters=20, window_s=100, ratio=0.5)
    now, batches, stops = 0.0, [], False
    for passed, records, dead in drawn:
        now += passed
        batches.append((now, max(records, dead), dead))
        limit.record(records=max(records, dead), dead=dead, now=now)
        within = [each for each in batches if each[0] >= now - 100]
        total, poison = sum(each[1] for each in within), sum(each[2] for each in within)
        stops |= poison >= 20 and poison >= 0.5 * total

        assert limit.stopped == stops


@given(BATCHES)
def test_what_is_left_is_all_that_may_be_put_aside_until_it_stops(
    drawn: list[tuple[float, int, int]],
) -> None:
    limit = Limit(letters=20, window_s=100, ratio=0.0)
    now = 0.0
    for passed, records, poison in drawn:
        now += passed
        left = limit.left(now=now)
        dead = min(poison, left)
        limit.record(records=max(records, dead), dead=dead, now=now)

        assert limit.stopped == (dead == left)
        if limit.stopped:
            assert limit.left(now=now) == 1
            return


def test_where_poison_is_the_exception_more_of_it_is_left() -> None:
    limit = Limit(letters=20, ratio=0.1)
    limit.record(records=1000, dead=30, now=0.0)

    assert limit.left(now=1.0) == 70
    assert not limit.stopped
