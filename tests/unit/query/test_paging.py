"""Pages are found through the counters as they would be by counting rows."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.query import paging
from services.query.cursor import Key
from services.query.paging import Bucket, Place
from services.query.request import WARMNESS, Filters

buckets = st.dictionaries(
    st.tuples(st.booleans(), st.integers(0, 10)), st.integers(0, 5), max_size=22
).map(lambda found: [Bucket(*key, contacts) for key, contacts in found.items()])
filters = st.builds(
    Filters,
    st.none(),
    st.sampled_from(list(WARMNESS.values())),
    st.sampled_from([None, True, False]),
)


@given(buckets, filters, st.integers(0, 60))
def test_a_place_is_the_row_with_that_number(
    found: list[Bucket], wanted: Filters, offset: int
) -> None:
    rows = [
        Place(bucket, within)
        for bucket in sorted(found)
        if wanted.scores[0] <= bucket.score <= wanted.scores[1]
        and wanted.in_campaign in (None, not bucket.not_in_campaign)
        for within in range(bucket.contacts)
    ]

    place = paging.place(paging.wanted(found, wanted), offset)

    assert place == (rows[offset] if offset < len(rows) else None)


small = st.integers(-3, 3)
keys = st.builds(Key, st.booleans(), st.integers(0, 10), small, small, st.uuids())


@given(st.lists(keys, max_size=30), keys, filters)
def test_the_bounds_let_through_just_what_follows_the_key(
    rows: list[Key], after: Key, wanted: Filters
) -> None:
    low, high = wanted.scores
    expected = [
        row
        for row in rows
        if row > after
        and low <= row.score <= high
        and wanted.in_campaign in (None, not row.not_in_campaign)
    ]

    ranges = paging.bounds(after, wanted)
    passed = [
        row
        for row in rows
        for enabled, *least in [ranges[row.not_in_campaign]]
        if enabled and row.score <= high and list(row[1:]) > least
    ]

    assert passed == expected


def test_the_start_of_a_bucket_is_before_its_every_row() -> None:
    bucket = Bucket(True, 4, 2)
    first = Key(True, 4, -(2**63) + 1, -(2**63) + 1, UUID(int=0))

    assert Key(True, 3, 2**63 - 1, 2**63 - 1, UUID(int=2**128 - 1)) < paging.start_of(bucket)
    assert paging.start_of(bucket) < first
