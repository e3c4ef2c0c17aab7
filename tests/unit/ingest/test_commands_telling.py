"""What commands say of an organization that stands in Pipedrive for one of ours."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.ingest.commands import telling
from services.ingest.commands.neighbours import Contact
from shared import events, ids, topics
from shared.events import CampaignChange, OrganizationVerdictChange
from shared.positions import MOST, Position, encode

COMPANY = 7001
OURS = UUID(int=5)
NOW = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
ROW = {"id": 8, "name": "Acme", "owner_id": 1001, "add_time": "2026-01-02T03:04:05Z"}


def told(user_id: int = 1001, *, later: timedelta = timedelta()) -> OrganizationVerdictChange:
    record = telling.made_for_record(OURS, ROW, COMPANY, user_id, NOW + later)
    assert record.topic == topics.APP_ORGANIZATION_VERDICTS.name
    return events.parse(OrganizationVerdictChange, record.value)


def test_pipedrives_row_is_said_to_be_the_organization_it_was_made_for():
    said = told()

    theirs = ids.organization(COMPANY, 8)
    assert said.data is not None
    assert (said.data.decision, said.data.decided_by) == ("same", 1001)
    assert (said.data.left_records, said.data.right_records) == ((theirs, OURS), ())


def test_what_people_say_of_the_two_counts_as_later():
    assert told().version == NOW.timestamp() * 1_000_000 - 1_000_000


def test_told_again_it_is_the_same_event_and_by_another_user_another():
    assert told(later=timedelta(minutes=9)).stamp == told().stamp
    assert told(1002).stamp != told().stamp
    assert told(1002).entity_id == told().entity_id


def test_what_a_user_says_of_the_campaign_is_newer_than_what_a_clock_ahead_has_stamped():
    ahead = datetime.now(UTC) + timedelta(seconds=90)

    later = membership(ahead.replace(microsecond=0))

    assert later.version >= ahead.timestamp() * 1_000_000
    assert membership(NOW).version < later.version


def test_what_lies_in_more_partitions_than_a_token_names_has_none():
    places = [Position("app.campaign", number, 1) for number in range(MOST + 1)]

    assert telling.token(places) is None
    assert telling.token(places[1:]) == encode(places[1:])


def membership(updated_at: datetime) -> CampaignChange:
    contact = Contact(ids.contact(COMPANY, 7), 7, updated_at)
    record = telling.campaign_record(COMPANY, contact, added=False)
    return events.parse(CampaignChange, record.value)
