from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.live import events as live_events
from services.query.live.events import MOST_FRAME_BYTES, RESET, News, Place

EPOCH = UUID(int=7)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@st.composite
def places(draw):
    first = draw(st.integers(1, 10**12))
    still_open = sorted(draw(st.sets(st.integers(first, first + 1_000), max_size=8)))
    last = first + 1_001
    snapshot = f"{first}:{last}:{','.join(map(str, still_open))}"
    return Place(draw(st.uuids()), AT + timedelta(seconds=draw(st.integers(0, 10**6))), snapshot)


@given(places())
def test_an_id_says_where_the_reader_stands(place):
    assert live_events.decode(live_events.encode(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        f"{EPOCH.hex}-1-",
        f"{EPOCH.hex}-1-5:4:",
        f"{EPOCH.hex}-1-0:4:",
        f"{EPOCH.hex}-1-3:9:4,4",
        f"{EPOCH.hex}-1-3:9:5,4",
        f"{EPOCH.hex}-1-3:9:9",
        f"{EPOCH.hex}-1-3:9:2",
        f"{EPOCH.hex}-1-3:{2**63}:",
        f"{EPOCH.hex}-1-3:9:4\n",
        f"{EPOCH.hex}-1-\u0663:\u0663:",
        f"{EPOCH.hex}-1-3:99999:{','.join(map(str, range(4, 2_000)))}",
    ],
)
def test_what_is_no_id_is_no_place(text):
    assert live_events.decode(text) is None


@given(st.text(max_size=80))
def test_no_text_is_too_strange_to_be_read(text):
    live_events.decode(text)


def test_a_place_leads_on_for_ten_minutes_and_not_across_a_crash():
    place = Place(EPOCH, AT, "5:9:")
    later = Place(EPOCH, AT + timedelta(minutes=10), "7:12:")

    assert place.leads_to(later)
    assert not place.leads_to(later._replace(at=AT + timedelta(minutes=10, seconds=1)))
    assert not place.leads_to(later._replace(epoch=uuid4()))
    assert not place.leads_to(later._replace(snapshot="5:8:"))


def test_only_the_last_event_of_what_is_told_together_carries_an_id():
    place = Place(EPOCH, AT, "5:9:6")
    news = News(total=3, contacts=[{"id": "a"}], removed=[UUID(int=1)], status={"state": "idle"})

    frame = live_events.frame(news, place)

    assert frame == (
        b'event: removed\ndata: {"id":"00000000-0000-0000-0000-000000000001","total":3}\n\n'
        b'event: contact\ndata: {"contact":{"id":"a"},"total":3}\n\n'
        b'event: sync\ndata: {"syncStatus":{"state":"idle"}}\n'
        b"id: " + live_events.encode(place).encode() + b"\n\n"
    )


def test_no_news_are_no_frame_and_a_reset_says_nothing_else():
    place = Place(EPOCH, AT, "5:9:")

    assert live_events.frame(News(), place) == b""
    assert live_events.frame(RESET, place).startswith(b"event: reset\ndata: {}\nid: ")


def test_what_would_be_too_long_is_a_wish_to_read_all_anew():
    place = Place(EPOCH, AT, "5:9:")
    fits, does_not = (
        News(contacts=[{"name": "x" * length}])
        for length in (MOST_FRAME_BYTES - 1_000, MOST_FRAME_BYTES)
    )

    assert live_events.frame(fits, place).startswith(b"event: contact\n")
    assert live_events.frame(does_not, place) == live_events.frame(RESET, place)


def test_a_beat_is_no_event_and_may_say_where_the_stream_stands():
    place = Place(EPOCH, AT, "5:9:")

    assert live_events.beat(None) == b": beat\n\n"
    assert live_events.beat(place) == b": beat\nid: %b\n\n" % live_events.encode(place).encode()
