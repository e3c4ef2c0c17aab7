"""What was once written is read for ever, and absent is never null."""

import json
from pathlib import Path

import pytest

from shared import events, topics
from shared.errors import Poison

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_stored_bytes_are_read_and_written_back_unchanged(topic: topics.Topic) -> None:
    stored = (GOLDEN / f"{topic.name}.json").read_bytes().strip()

    fact = events.parse(topic.model, stored)

    assert json.loads(events.dump(fact)) == json.loads(stored)


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_readers_pass_over_fields_of_a_later_version(topic: topics.Topic) -> None:
    stored = json.loads((GOLDEN / f"{topic.name}.json").read_bytes())

    later = events.parse(topic.model, json.dumps(stored | {"of_a_later_version": 1}).encode())

    assert later == events.parse(topic.model, json.dumps(stored).encode())


def test_a_field_that_was_absent_stays_absent() -> None:
    person = events.Person(name="Ann")

    assert events.dump(person) == b'{"name":"Ann"}'


def test_a_field_that_was_null_stays_null() -> None:
    person = events.parse(events.Person, b'{"job_title":null}')

    assert person.model_fields_set == {"job_title"}
    assert events.dump(person) == b'{"job_title":null}'


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"event_id":1}', b"\xff\xfe"])
def test_what_is_no_event_is_poison(value: bytes | None) -> None:
    with pytest.raises(Poison, match="not a"):
        events.parse(events.PersonChange, value)


def _change(**changes: object) -> events.PersonChange:
    stored = json.loads((GOLDEN / "pipedrive.persons.json").read_bytes())
    return events.parse(events.PersonChange, json.dumps(stored | changes).encode())


def test_the_key_names_company_and_entity() -> None:
    assert _change(company_id=7, entity_id="8").key == b"7:8"


@pytest.mark.parametrize("entity_id", ["x", "", "-1", str(2**63), "1.5"])
def test_an_id_that_is_no_number_is_poison_where_a_number_is_needed(entity_id: str) -> None:
    with pytest.raises(Poison, match="Pipedrive gives"):
        _ = _change(entity_id=entity_id).number


def test_a_survivors_change_also_writes_the_losers_tombstone() -> None:
    change = _change(entity_id="8", merged_from="9")

    written = dict(events.writes(change, {"name": "Ann"}))

    assert not written["8"].deleted
    assert written["9"].deleted
    assert written["9"].carried == {"merged_into": "8"}


def test_a_losers_delete_says_where_it_went() -> None:
    change = _change(entity_id="9", action="delete", merged_into="8", data=None)

    [(entity_id, write)] = events.writes(change, {})

    assert (entity_id, write.deleted, write.carried) == ("9", True, {"merged_into": "8"})


def test_only_a_life_after_the_merge_undoes_it() -> None:
    alive = _change(entity_id="9", action="change", merged_from=None)
    gone = _change(entity_id="9", action="delete", merged_from=None, data=None)

    [(_, life)] = events.writes(alive, {})
    [(_, death)] = events.writes(gone, {})

    assert life.carried == {"merged_into": None}
    assert death.carried == {}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-30T23:59:59.999999Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-02T00:00:00Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
    ],
)
def test_instants_are_in_utc_and_never_infinite(written: str, read: str) -> None:
    person = events.parse(events.Person, json.dumps({"add_time": written}).encode())

    assert json.loads(events.dump(person)) == {"add_time": read}
