from datetime import UTC, datetime
from typing import Any

import pytest

from services.orgs import folding
from shared.errors import Poison
from shared.events import Action, OrganizationChange, Person, PersonChange, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_envelope(entity: str, entity_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": "e",
        "company_id": 1,
        "entity": entity,
        "entity_id": entity_id,
        "action": Action.CHANGE,
        "version": 5,
        "occurred_at": NOW,
        "received_at": NOW,
        "source": Source.SYNC,
    } | changes


def test_a_field_that_a_body_lacks_is_not_written() -> None:
    absent = PersonChange(**an_envelope("person", "3"), data=Person(name="Ada"))
    null = PersonChange(**an_envelope("person", "4"), data=Person(org_id=None))

    writes = folding.contacts([absent, null])

    assert "org_id" not in writes[1, 3][0].carried
    assert writes[1, 4][0].carried["org_id"] is None


def test_a_survivors_change_also_writes_the_losers_tombstone() -> None:
    change = PersonChange(**an_envelope("person", "3", merged_from="9"), data=Person())

    writes = folding.contacts([change])

    assert writes[1, 9][0].deleted
    assert writes[1, 9][0].carried == {"merged_into": 3}


@pytest.mark.parametrize("entity_id", ["x", "-1", str(2**63)])
def test_ids_that_cannot_be_are_poison(entity_id: str) -> None:
    change = PersonChange(**an_envelope("person", "3", merged_from=entity_id), data=Person())

    with pytest.raises(Poison, match="Pipedrive gives"):
        folding.contacts([change])


def test_a_made_record_without_a_uuid_is_poison() -> None:
    with pytest.raises(Poison, match="we gave"):
        folding.made_records([OrganizationChange(**an_envelope("organization", "12"))])
