"""What the hearing reads of a change."""

from datetime import UTC, datetime

import pytest

from services.ingest.sync import hearing
from shared.errors import Poison
from shared.events import Action, Person, PersonChange, Source, dump, parse

NOW = datetime(2026, 5, 27, tzinfo=UTC)


def test_a_change_of_what_stands_in_no_list_is_put_aside_and_ends_nothing() -> None:
    change = PersonChange(
        event_id="e",
        company_id=1,
        entity="stranger",
        entity_id="2",
        action=Action.CHANGE,
        version=1,
        occurred_at=NOW,
        received_at=NOW,
        source=Source.WEBHOOK_V2,
        data=Person(name="Ann"),
    )

    with pytest.raises(Poison, match="entity"):
        parse(hearing.Glimpse, dump(change))
