"""Writes what was done to the log, and returns its position there.

Rule 1: a row that Pipedrive answered with counts as written at the **start** of its second: the
        webhook of the same change, and of every later one, counts as written after it.
Rule 2: while Kafka is away the spool takes it, and its log position is unknown. Unlike a webhook's
        sender, a user is better served by waiting a moment than by getting no token.
Rule 3: the Pipedrive row of one of our organizations is linked to it by a verdict: where a name is
        contested, neither name nor facts would show it. Neither loses its id by that. The verdict
        is as old as the row, so people's decisions about the two outweigh it; publishing it again
        changes nothing.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from services.ingest import rows, values
from services.ingest.commands.neighbours import Contact
from services.ingest.outlet import Outlet
from services.ingest.rows import Row
from shared import ids, topics
from shared.errors import Unavailable
from shared.events import (
    Action,
    CampaignChange,
    CampaignMembership,
    OrganizationVerdict,
    OrganizationVerdictChange,
    Source,
    dump,
)
from shared.kafka.publisher import Publisher, Record
from shared.positions import MOST, Position, Scored, encode, furthest_of

log = logging.getLogger(__name__)

SECOND_US: Final = 1_000_000
PATIENCE_S: Final = 2.0
"""A process that has just started, or just missed an ack, finds Kafka within this."""
MADE_FOR: Final = "It stands in Pipedrive for this organization, which a user made here."


@dataclass(frozen=True, slots=True)
class Telling:
    publisher: Publisher
    outlet: Outlet

    async def tell(
        self,
        records: Sequence[Record],
        linked: Collection[UUID] = (),
        scored: Collection[Scored] = (),
    ) -> str | None:
        """The token of their log positions; null if they are only in the spool, or lie in more
        places than a token can name. `linked` are contacts that they bring into an organization,
        `scored` those whose score they change.

        Raises:
            Unavailable: neither Kafka nor the spool takes them.
        """
        if await self.outlet.is_back(PATIENCE_S):
            try:
                return token(await self.publisher.place(records), linked, scored)
            except Unavailable as outage:
                log.warning("command_spooled", extra={"reason": str(outage)})
        await self.pass_on(records)
        return None

    async def pass_on(self, records: Sequence[Record]) -> None:
        """For records whose position nobody needs to know.

        Raises:
            Unavailable: neither Kafka nor the spool takes them.
        """
        await self.outlet.publish(records)


def token(
    positions: Iterable[Position],
    linked: Collection[UUID] = (),
    scored: Collection[Scored] = (),
) -> str | None:
    """Null where they lie in more partitions than a token can name."""
    furthest = furthest_of(positions)
    return encode(furthest, linked, scored) if len(furthest) <= MOST else None


def row_record(entity: str, raw: dict[str, Any], company_id: int, now: datetime) -> Record:
    """The change that a newly created Pipedrive row stands for."""
    row = rows.read(entity, raw)._replace(action=Action.CREATE.value)
    return rows.record(
        row,
        company_id=company_id,
        version=_begun_us(row, now),
        turn=0,
        now=now,
        source=Source.APP,
    )


def done_us(raw: Mapping[str, Any]) -> int | None:
    """When an activity was done, in microseconds since 1970; null where its row does not say."""
    at = values.moment(raw.get("marked_as_done_time")) if raw.get("done") else None
    return values.micros(at) if at is not None and at >= values.EPOCH else None


def made_for_record(
    organization_id: UUID, raw: dict[str, Any], company_id: int, user_id: int, now: datetime
) -> Record:
    """Links an organization's Pipedrive row to one of ours (rule 3)."""
    row = rows.read("organization", raw)
    org_id = int(row.entity_id)
    record_id = ids.organization(company_id, org_id)
    verdict_id = ids.made_for(company_id, org_id, organization_id)
    change = OrganizationVerdictChange(
        event_id=str(uuid5(verdict_id, str(user_id))),
        company_id=company_id,
        entity="organization_verdict",
        entity_id=str(verdict_id),
        action=Action.CREATE,
        version=_begun_us(row, now),
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=OrganizationVerdict(
            decision="same",
            left_records=(record_id, organization_id),
            right_records=(),
            left_id=organization_id,
            decided_by=user_id,
            reason=MADE_FOR,
        ),
    )
    return Record(topics.APP_ORGANIZATION_VERDICTS.name, change.key, dump(change))


def _begun_us(row: Row, now: datetime) -> int:
    """The start of the second in which a row was written (rule 1)."""
    return row.version(now) // SECOND_US * SECOND_US


def campaign_record(company_id: int, contact: Contact, *, added: bool) -> Record:
    """If the contact's last change is later than now, by another process's clock, this one gets a
    still later version.
    """
    now = datetime.now(UTC)
    is_ahead = contact.updated_at > now
    said_at = contact.updated_at + timedelta(seconds=1) if is_ahead else now
    change = CampaignChange(
        event_id=str(uuid4()),
        company_id=company_id,
        entity="campaign",
        entity_id=str(contact.person_id),
        action=Action.CHANGE,
        version=int(said_at.timestamp() * SECOND_US),
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=CampaignMembership(added_to_campaign=added),
    )
    return Record(topics.APP_CAMPAIGN.name, change.key, dump(change))


def text(row: Mapping[str, Any], name: str) -> str | None:
    found = row.get(name)
    return found if isinstance(found, str) and found else None
