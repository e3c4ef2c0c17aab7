"""What a webhook tells: action, identity, version, company."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.ingest import payload
from shared import events, topics
from shared.errors import Poison
from shared.events import Action, Change, Source
from tests.unit.ingest.bodies import COMPANY, MICROS, SECONDS, v1, v2

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden"
SAMPLES = Path(__file__).parents[4] / "shared" / "pipedrive" / "webhooks"
PERSON = {"id": 8, "name": "Ann"}
V1_ACTIONS = {"added": "create", "updated": "change", "merged": "change", "deleted": "delete"}


def told(body: bytes, company_id: int = COMPANY) -> Change[Any]:
    return payload.change(body, company_id=company_id, now=NOW)


def test_version_2_tells_a_change() -> None:
    change = told(v2("person", PERSON))

    assert change == events.PersonChange(
        event_id="7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
        company_id=COMPANY,
        entity="person",
        entity_id="8",
        action=Action.CHANGE,
        version=1_779_864_881_426_000,
        occurred_at=datetime(2026, 5, 27, 6, 54, 41, 426_000, tzinfo=UTC),
        received_at=NOW,
        source=Source.WEBHOOK_V2,
        data=events.Person(name="Ann"),
    )


def test_version_1_tells_a_change() -> None:
    change = told(v1("person", PERSON))

    assert change == events.PersonChange(
        event_id=change.event_id,
        company_id=COMPANY,
        entity="person",
        entity_id="8",
        action=Action.CHANGE,
        version=MICROS,
        occurred_at=datetime(2026, 5, 27, 6, 54, 41, 426_123, tzinfo=UTC),
        received_at=NOW,
        source=Source.WEBHOOK_V1,
        data=events.Person(name="Ann"),
    )


@pytest.mark.parametrize("sent", sorted(V1_ACTIONS))
def test_version_1_actions_are_those_of_version_2(sent: str) -> None:
    current = None if sent == "deleted" else PERSON

    assert told(v1("person", current, action=sent)).action == V1_ACTIONS[sent]


@pytest.mark.parametrize(
    ("action", "data", "expected"),
    [
        ("create", PERSON, Action.CREATE),
        ("delete", None, Action.DELETE),
        ("delete", PERSON, Action.DELETE),
        ("change", None, Action.DELETE),
        ("restore", PERSON, Action.CHANGE),
        ("restore", None, Action.DELETE),
        (None, PERSON, Action.CHANGE),
        ("change", {**PERSON, "is_deleted": True}, Action.DELETE),
        ("change", {**PERSON, "active_flag": False}, Action.DELETE),
    ],
)
def test_data_decides_where_the_action_does_not(
    action: str | None, data: Any, expected: Action
) -> None:
    change = told(v2("person", data, action=action))

    assert change.action is expected
    assert (change.data is None) == (expected is Action.DELETE)


def test_a_merge_names_the_other_side() -> None:
    loser = told(v2("person", None, action="delete", entity_id="9", merged_to_id="8"))
    survivor = told(v2("person", PERSON, merged_from_id="9"))
    survivor_v1 = told(v1("person", {**PERSON, "merge_what_id": 9}, action="merged"))

    assert (loser.entity_id, loser.merged_into) == ("9", "8")
    assert (survivor.entity_id, survivor.merged_from) == ("8", "9")
    assert (survivor_v1.entity_id, survivor_v1.merged_from) == ("8", "9")


@pytest.mark.parametrize(
    ("meta", "version"),
    [
        ({"timestamp": "2026-05-27T06:54:41Z"}, SECONDS * 1_000_000),
        ({"timestamp": SECONDS}, SECONDS * 1_000_000),
        ({"timestamp": str(SECONDS)}, SECONDS * 1_000_000),
        ({"timestamp": None}, 1_780_272_000_000_000),
        ({"timestamp": "soon"}, 1_780_272_000_000_000),
    ],
)
def test_version_2_is_dated_by_its_timestamp_else_by_its_receipt(
    meta: dict[str, Any], version: int
) -> None:
    change = told(v2("person", PERSON, **meta))

    assert change.version == version
    assert change.occurred_at == datetime.fromtimestamp(version / 1_000_000, UTC)


@pytest.mark.parametrize(
    ("meta", "version"),
    [
        ({}, MICROS),
        ({"timestamp_micro": None, "timestamp_milli": MICROS // 1_000}, MICROS // 1_000 * 1_000),
        ({"timestamp_micro": None}, SECONDS * 1_000_000),
    ],
)
def test_version_1_is_dated_by_its_finest_timestamp(meta: dict[str, Any], version: int) -> None:
    assert told(v1("person", PERSON, **meta)).version == version


@pytest.mark.parametrize("meta", [{}, {"timestamp_micro": None}])
def test_a_retry_in_version_1_is_the_same_event(meta: dict[str, Any]) -> None:
    first = told(v1("person", PERSON, **meta))
    retry = told(v1("person", PERSON, retry=2, webhook_id="404976", **meta))

    assert retry == first


def test_a_retry_in_version_2_is_the_same_event() -> None:
    assert told(v2("person", PERSON, attempt=3)) == told(v2("person", PERSON))


def test_events_about_a_user_are_told_apart_though_their_meta_id_is_the_users() -> None:
    user = {"id": "5", "name": "Ann", "active_flag": True}
    meta = {"entity_id": "5", "id": "5", "timestamp": SECONDS}
    first = told(v2("user", user, **meta))
    again = told(v2("user", user, **meta, attempt=2))
    other = told(v2("user", {**user, "active_flag": False}, **meta))

    assert first == again
    assert other.event_id != first.event_id
    assert other.action is Action.CHANGE
    assert other.data == events.User(name="Ann", active=False)


def test_version_1_wraps_users_in_a_list() -> None:
    change = told(v1("user", [{"id": 5, "name": "Ann"}], id=5))

    assert change.data == events.User(name="Ann")


def test_a_company_that_is_not_named_is_the_credentials() -> None:
    assert told(v2("person", PERSON, company_id=None), company_id=12).company_id == 12
    assert told(v2("person", PERSON), company_id=12).company_id == COMPANY


@pytest.mark.parametrize("entity", ["product", "activityType", "deal_installment", "*"])
def test_an_entity_without_a_model_travels_as_it_came(entity: str) -> None:
    data = {"id": "x-1", "title": "A\0B", "deep": [{"n": 1.5}]}
    change = told(v2(entity, data, entity_id="x-1"))

    assert type(change) is events.OtherChange
    assert (change.entity, change.entity_id) == (entity, "x-1")
    assert change.data is not None
    assert change.data.model_extra == {"id": "x-1", "title": "AB", "deep": [{"n": 1.5}]}


def test_an_id_comes_as_text_as_a_number_or_only_in_the_entity() -> None:
    assert told(v1("pipeline", {"id": 1}, id="1")).entity_id == "1"
    assert told(v2("person", PERSON, entity_id=8)).entity_id == "8"
    assert told(v2("person", PERSON, entity_id=None)).entity_id == "8"
    lead = "b1810230-6c0d-11ed-9826-a53d0eb706a5"
    assert told(v2("lead", {"id": lead}, entity_id=lead)).entity_id == lead
    longest = "x" * 255
    assert told(v2("lead", {"id": longest}, entity_id=longest)).entity_id == longest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"data": {"id": 8}}',
        b'{"meta": []}',
        b'{"meta": {}}',
        b'{"meta": {"entity": 7}}',
        b'{"meta": {"entity": " ", "entity_id": "8"}}',
        v2("person", PERSON, entity_id="abc"),
        v2("person", PERSON, entity_id=str(2**63)),
        v2("person", PERSON, entity_id="-1"),
        v2("person", {"name": "Ann"}, entity_id=None),
        v2("lead", {}, entity_id=""),
        v2("lead", {}, entity_id="x" * 256),
        v2("product", {}, entity_id="x" * 256),
        v2("person", "Ann"),
        v2("person", [1]),
        v2("person", PERSON, company_id="ours"),
        v2("task", {"deep": orjson.loads(b"[" * 100 + b"]" * 100)}),
        b'{"meta": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_tells_no_change_is_poison(body: bytes) -> None:
    with pytest.raises(Poison):
        told(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"NaN", None),
        (b"-Infinity", None),
        (b"1e999", None),
        (b"1" * 5000, None),
        (b'"' + b"7" * 5000 + b'"', None),
        (b"12.5", 12.5),
    ],
)
def test_numbers_that_json_does_not_know_are_null(value: bytes, expected: float | None) -> None:
    body = v2("deal", {"id": 8, "value": "HERE"}).replace(b'"HERE"', value)

    assert told(body).data == events.Deal(value=expected)


def test_half_an_emoji_does_not_cost_the_body() -> None:
    body = v2("person", {"id": 8, "name": "HERE"}).replace(b"HERE", rb"Ann \ud83d")

    assert told(body).data == events.Person(name="Ann ?")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_golden_bodies_become_the_same_bytes_for_ever(path: Path) -> None:
    sample = orjson.loads(path.read_bytes())
    body = orjson.dumps(sample["body"])
    change = payload.change(body, company_id=COMPANY, now=NOW)
    expected = orjson.dumps(sample["event"])

    assert payload.dump(payload.envelope(body, company_id=COMPANY, now=NOW)) == expected
    assert orjson.loads(events.dump(change)) == sample["event"]
    assert events.parse(type(change), expected) == change


# Those seen at the real Pipedrive, too, where they lie beside the checkout.
@pytest.mark.parametrize(
    "path",
    [*sorted(GOLDEN.glob("*.json")), *sorted(SAMPLES.glob("*.json"))],
    ids=lambda path: path.stem,
)
def test_every_body_tells_its_change(path: Path) -> None:
    body = path.read_bytes()
    if path.is_relative_to(GOLDEN):
        body = orjson.dumps(orjson.loads(body)["body"])
    if "fragment" in path.stem or "headers" in path.stem:
        with pytest.raises(Poison):
            told(body)
        return
    meta = orjson.loads(body)["meta"]
    generation, entity, verb, *_ = path.stem.split("-")

    change = told(body)

    topic = topics.OF_ENTITY.get(entity, topics.OTHER)
    assert change.source == f"webhook.{generation}"
    assert change.entity == entity
    assert change.entity_id == str(meta.get("entity_id", meta.get("id")))
    assert change.action == V1_ACTIONS.get(verb, verb)
    assert change.company_id == int(meta.get("company_id", COMPANY))
    assert change.version == expected_version(meta)
    assert type(change) is topic.model
    assert events.parse(topic.model, events.dump(change)) == change


def expected_version(meta: dict[str, Any]) -> int:
    stamp = meta.get("timestamp")
    if "timestamp_micro" in meta:
        return int(meta["timestamp_micro"])
    if "timestamp_milli" in meta:
        return int(meta["timestamp_milli"]) * 1_000
    if stamp is None:
        return int(NOW.timestamp()) * 1_000_000
    if isinstance(stamp, int):
        return stamp * 1_000_000
    since = datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)
