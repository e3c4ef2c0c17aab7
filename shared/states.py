"""The states on the bus: what a service now holds as true, published whenever it changes.

Rule: the newest `version` of a key is the state; only the service that owns it writes the key.
"""

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from shared.events import Fact, Id, Instant, key


class OrganizationState(Fact):
    """One real organization as orgs holds it now; `version` grows with each publication.

    `deleted` if its id is that of a record which belongs to another, or to none; `merged_into` is
    then the organization that the id leads to, if any. `last_activity` is the newest moment of a
    done activity.
    """

    version: int
    company_id: Id
    organization_id: UUID
    deleted: bool = False
    merged_into: UUID | None = None
    name: str | None = None
    pipedrive_org_id: str | None = None
    industry: str | None = None
    size: str | None = None
    website: str | None = None
    address: str | None = None
    country: str | None = None
    city: str | None = None
    contact_count: int = 0
    last_activity: Instant | None = None

    @property
    def key(self) -> bytes:
        return key(self.company_id, self.organization_id)


class ContactLink(Fact):
    """The organization a contact belongs to now; null while there is none."""

    version: int
    company_id: Id
    person_id: Id
    organization_id: UUID | None = None

    @property
    def key(self) -> bytes:
        return key(self.company_id, self.person_id)


class ScoreState(Fact):
    """A contact's warmness now. `score` 0-10; `points` per component add up to it before the
    clamp.
    """

    version: int
    company_id: Id
    person_id: Id
    score: int
    points: dict[str, int] = Field(default_factory=dict)
    last_contacted: Instant | None = None

    @property
    def key(self) -> bytes:
        return key(self.company_id, self.person_id)


class SyncState(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    FAILED = "failed"
    NEVER = "never"


class SyncStatus(Fact):
    """The state of the company's last synchronisation with Pipedrive."""

    version: int
    company_id: Id
    state: SyncState
    last_sync_at: Instant | None = None
    processed: int = 0
    failed: int = 0

    @property
    def key(self) -> bytes:
        return key(self.company_id, "sync")


Published = OrganizationState | ContactLink | ScoreState | SyncStatus
