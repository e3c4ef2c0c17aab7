"""What is heard in the log, and what is passed over unread."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import payload, rows
from services.ingest.commands import telling
from services.ingest.sync import comparing, hearing
from services.ingest.sync.deciding import News
from shared.events import Action, PersonChange, Source, dump
from tests.unit.ingest.bodies import COMPANY, v2

NOW = datetime(2026, 5, 27, 6, 54, 41, tzinfo=UTC)
LIKE_THE_SYNC = '{"a":1,"source":"sync","data":'


def told(row: dict[str, Any]) -> bytes:
    return comparing.record(COMPANY, rows.read("person", row), News(7, 0)).value


def pushed(row: dict[str, Any], **meta: Any) -> bytes:
    return payload.dump(payload.envelope(v2("person", row, **meta), company_id=COMPANY, now=NOW))


@pytest.mark.parametrize(
    "row",
    [
        {"id": 8, "name": "Ada", "update_time": "2026-05-27T06:54:41Z"},
        {"id": 8, "is_deleted": True},
        {"id": 8},
    ],
)
def test_what_the_sync_wrote_is_passed_over(row: dict[str, Any]) -> None:
    assert hearing.is_of_the_sync(told(row))


def test_what_became_of_a_row_that_is_gone_is_passed_over() -> None:
    gone = comparing.record(COMPANY, rows.gone("person", "8"), News(7, 0))

    assert hearing.is_of_the_sync(gone.value)


@pytest.mark.parametrize("name", ["Ada", LIKE_THE_SYNC, ',"source":"sync",', "\\"])
def test_what_webhooks_and_users_told_is_heard(name: str) -> None:
    row = {"id": 8, "name": name, "custom_fields": {"source": "sync", "data": {"source": "sync"}}}

    assert not hearing.is_of_the_sync(pushed(row))
    assert not hearing.is_of_the_sync(pushed(row, id=name))
    assert not hearing.is_of_the_sync(telling.row_record("person", row, COMPANY, NOW).value)


@given(st.text(), st.text(), st.sampled_from(Source))
def test_only_the_source_tells_whose_a_record_is(event_id: str, name: str, source: Source) -> None:
    change = PersonChange(
        event_id=event_id,
        company_id=COMPANY,
        entity="person",
        entity_id=name,
        action=Action.DELETE,
        version=7,
        occurred_at=NOW,
        received_at=NOW,
        source=source,
    )

    assert hearing.is_of_the_sync(dump(change)) == (source is Source.SYNC)


def test_what_cannot_be_read_is_not_the_syncs() -> None:
    assert not hearing.is_of_the_sync(b"")
    assert not hearing.is_of_the_sync(b"{broken")
