"""Every topic: its name, what its records are, and how long Kafka keeps them. Pure.

Rule 1: `pipedrive.*` and `app.*` are the log of record: kept whole, never compacted.
Rule 2: `orgs.*`, `scoring.*` and `sync.status` hold states: compacted, the newest per key stays.
"""

from dataclasses import dataclass

from shared import events, states


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    model: type[events.Fact]
    producer: str
    consumers: tuple[str, ...]
    key: str
    compacted: bool = False
    also_from: tuple[str, ...] = ()
    heard_by: tuple[str, ...] = ()
    """Services of which each process reads it into memory."""

    @property
    def producers(self) -> tuple[str, ...]:
        return (self.producer, *self.also_from)


def _log(
    name: str,
    model: type[events.Fact],
    producer: str,
    *consumers: str,
    also_from: tuple[str, ...] = (),
    heard_by: tuple[str, ...] = (),
) -> Topic:
    key = "company_id:entity_id"
    return Topic(name, model, producer, consumers, key, also_from=also_from, heard_by=heard_by)


_WITHOUT_USERS = ("ingest", "orgs", "scoring")
"""They answer users, but have no store of who is refused."""


PERSONS = _log(
    "pipedrive.persons", events.PersonChange, "ingest", "ingest", "orgs", "scoring", "query"
)
ORGANIZATIONS = _log(
    "pipedrive.organizations", events.OrganizationChange, "ingest", "ingest", "orgs"
)
DEALS = _log("pipedrive.deals", events.DealChange, "ingest", "ingest", "scoring")
ACTIVITIES = _log(
    "pipedrive.activities", events.ActivityChange, "ingest", "ingest", "orgs", "scoring", "query"
)
LEADS = _log("pipedrive.leads", events.LeadChange, "ingest", "ingest", "scoring")
USERS = _log("pipedrive.users", events.UserChange, "ingest", "query", heard_by=_WITHOUT_USERS)
NOTES = _log("pipedrive.notes", events.NoteChange, "ingest")
OTHER = _log("pipedrive.other", events.OtherChange, "ingest")
APP_ORGANIZATIONS = _log("app.organizations", events.OrganizationChange, "orgs", "orgs")
APP_ORGANIZATION_VERDICTS = _log(
    "app.organization-verdicts",
    events.OrganizationVerdictChange,
    "orgs",
    "orgs",
    also_from=("ingest",),
)
APP_CAMPAIGN = _log("app.campaign", events.CampaignChange, "ingest", "query")
APP_SESSIONS = _log(
    "app.sessions", events.SessionChange, "query", "query", heard_by=_WITHOUT_USERS
)
APP_SCORING_WEIGHTS = Topic(
    "app.scoring-weights",
    events.ScoringWeightsChange,
    "scoring",
    ("scoring",),
    "company_id:weights",
)
ORG_STATES = Topic(
    "orgs.organizations",
    states.OrganizationState,
    "orgs",
    ("query",),
    "company_id:organization_id",
    compacted=True,
)
CONTACT_LINKS = Topic(
    "orgs.contact-links",
    states.ContactLink,
    "orgs",
    ("query",),
    "company_id:person_id",
    compacted=True,
)
SCORES = Topic(
    "scoring.scores",
    states.ScoreState,
    "scoring",
    ("query",),
    "company_id:person_id",
    compacted=True,
)
SYNC_STATUS = Topic(
    "sync.status", states.SyncStatus, "ingest", ("query",), "company_id:sync", compacted=True
)
WEBHOOKS = "pipedrive.webhooks"
"""Not a topic: the origin named on dead letters of unreadable webhooks."""

ALL = (
    PERSONS,
    ORGANIZATIONS,
    DEALS,
    ACTIVITIES,
    LEADS,
    USERS,
    NOTES,
    OTHER,
    APP_ORGANIZATIONS,
    APP_ORGANIZATION_VERDICTS,
    APP_CAMPAIGN,
    APP_SESSIONS,
    APP_SCORING_WEIGHTS,
    ORG_STATES,
    CONTACT_LINKS,
    SCORES,
    SYNC_STATUS,
)

OF_ENTITY = {
    "person": PERSONS,
    "organization": ORGANIZATIONS,
    "deal": DEALS,
    "activity": ACTIVITIES,
    "lead": LEADS,
    "user": USERS,
    "note": NOTES,
}
"""The topic for an entity's changes; every other entity goes to `OTHER`."""


DEAD_LETTERS = ".dlq"
"""Suffix of their topics' names."""


def dead_letters_of(topic: str) -> str:
    return topic + DEAD_LETTERS
