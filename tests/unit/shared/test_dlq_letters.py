"""Dead letters say what they are, and filters pick among them."""

from datetime import UTC, datetime

import orjson
import pytest

from shared.dlq.letters import Letter, Wanted, instant, name, read
from shared.kafka.dead_letters import Origin, letter

NOW = datetime(2026, 5, 27, 6, 54, 41, tzinfo=UTC)


def a_letter(origin: Origin | None = None, key: bytes | None = b"7:8") -> Letter:
    origin = origin or Origin("pipedrive.persons", 3, 17, attempts=1, reader="my500.orgs")
    record = letter(origin, key=key, value=b'{"a": 1}', reason="no Version", now=NOW)
    return read(record.topic, (2, 5), (record.key, record.value), record.headers)


def test_what_is_written_is_read() -> None:
    assert a_letter() == Letter(
        name="pipedrive.persons:2:5",
        topic="pipedrive.persons",
        partition=3,
        offset=17,
        key=b"7:8",
        value=b'{"a": 1}',
        reason="no Version",
        time=NOW,
        attempts=2,
        reader="my500.orgs",
    )


@pytest.mark.parametrize("attempts", [b"x", "²".encode(), "٣".encode()])
def test_a_letter_without_headers_is_read_all_the_same(attempts: bytes) -> None:
    found = read("a.b.dlq", (0, 1), (None, b"\xff"), [("time", b"?"), ("attempts", attempts)])

    assert (found.topic, found.attempts, found.company, found.state) == ("a.b", 1, "", None)
    assert found.whole()["value"] == "\\xff"


@pytest.mark.parametrize("levels", [2, 200, 300, 5_000])
def test_a_value_is_shown_however_deep_it_is(levels: int) -> None:
    value = b'{"a":' * levels + b"1" + b"}" * levels
    shown = read("a.b.dlq", (0, 1), (None, value), []).whole()

    assert value.decode() in orjson.dumps(shown).decode().replace("\\", "")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), True),
        (Wanted(topic="pipedrive.persons"), True),
        (Wanted(topic="pipedrive.deals"), False),
        (Wanted(reason_contains="VERSION"), True),
        (Wanted(reason_contains="other"), False),
        (Wanted(since=NOW), True),
        (Wanted(until=NOW), False),
        (Wanted(company="7"), True),
        (Wanted(company="8"), False),
        (Wanted(key="7:8"), True),
        (Wanted(key="7"), False),
        (Wanted(names=frozenset({"pipedrive.persons:2:5"})), True),
        (Wanted(names=frozenset({"pipedrive.persons:2:6"})), False),
    ],
)
def test_a_filter_looks_at_what_it_names(wanted: Wanted, expected: bool) -> None:
    assert wanted.has(a_letter()) is expected


def test_an_instant_without_a_zone_is_utc() -> None:
    assert instant("2026-05-27T06:54:41") == instant("2026-05-27T08:54:41+02:00") == NOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pipedrive.persons:2:5", "pipedrive.persons:2:5"),
        ("pipedrive.persons.dlq:2:5", "pipedrive.persons:2:5"),
        ("a:b:2:5", "a:b:2:5"),
    ],
)
def test_a_name_is_a_topic_and_two_numbers(text: str, expected: str) -> None:
    assert name(text) == expected


@pytest.mark.parametrize(
    "text", ["pipedrive.persons:2", "pipedrive.persons:2:-5", ":2:5", ".dlq:2:5", ""]
)
def test_anything_else_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="not TOPIC"):
        name(text)
