"""Whatever is sent, a body is a change that every reader can read, or poison."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest import payload
from shared import events, topics
from shared.errors import Poison
from tests.unit.ingest.bodies import COMPANY

NOW = datetime(2026, 6, 1, tzinfo=UTC)
GOLDEN = [
    orjson.loads(path.read_bytes())["body"]
    for path in sorted((Path(__file__).parent / "golden").glob("*.json"))
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "0000-00-00", "2026-05-27 06:54:41", "9" * 30, "\0", "merged", "1"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "value", "entity", "x\0"]) | st.text(), inner)
    ),
    max_leaves=10,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A body that is valid but for a few places."""
    body: dict[str, Any] = orjson.loads(orjson.dumps(draw(st.sampled_from(GOLDEN))))
    for _ in range(draw(st.integers(1, 3))):
        objects = [found for found in (body, *body.values()) if isinstance(found, dict) and found]
        place = draw(st.sampled_from(objects))
        name = draw(st.sampled_from(sorted(place)))
        if draw(st.booleans()):
            place[name] = draw(JSON)
        else:
            del place[name]
    return body


def check(content: bytes) -> None:
    """Poison, or a change that reads back the same from its own bytes and from the door's."""
    try:
        told = payload.envelope(content, company_id=COMPANY, now=NOW)
    except Poison:
        return  # whoever cannot read what was stored says so, too: that is no excuse below
    change = payload.change(content, company_id=COMPANY, now=NOW)
    stored = payload.dump(told)
    model = topics.OF_ENTITY.get(change.entity, topics.OTHER).model
    assert type(change) is model
    assert events.parse(model, stored) == change
    assert events.parse(model, events.dump(change)) == change
    assert b"\\u0000" not in stored


@given(st.binary(max_size=200))
def test_arbitrary_bytes(content: bytes) -> None:
    check(content)


@given(JSON)
def test_arbitrary_json(found: Any) -> None:
    check(orjson.dumps(found))


@given(mutated())
@example({"meta": {"entity": "lead", "entity_id": "\0"}, "data": {}})
@example({"meta": {"entity": "lead", "entity_id": "1", "id": "\0"}, "data": {"value": {}}})
def test_mutated_bodies(body: dict[str, Any]) -> None:
    check(orjson.dumps(body))


@given(st.sampled_from(GOLDEN), st.data())
def test_damaged_bytes(body: dict[str, Any], data: st.DataObject) -> None:
    content = bytearray(orjson.dumps(body))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(content))
