"""Puts what was done into the log, and says where it stands there.

Rule 1: a row that Pipedrive answered with counts as written at the **start** of its second: the
        webhook of the same change, and of every later one, counts as written after it.
Rule 2: while Kafka is away the spool takes it, and nobody can be told where it will stand. Unlike
        a webhook's sender, a user is better served by waiting a moment than by not being told.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from services.ingest import payload, rows
from services.ingest.outlet import Outlet
from shared import topics
from shared.errors import Unavailable
from shared.events import Action, CampaignChange, CampaignMembership, Source, dump
from shared.kafka.publisher import Publisher, Record
from shared.positions import encode

log = logging.getLogger(__name__)

SECOND_US: Final = 1_000_000
PATIENCE_S: Final = 2.0
"""A process that has just started, or missed an ack by a little, finds Kafka within this."""


@dataclass(frozen=True, slots=True)
class Telling:
    publisher: Publisher
    outlet: Outlet

    async def tell(self, records: Sequence[Record], linked: Collection[UUID] = ()) -> str | None:
        """The token of where they stand; null if they are only on their way there. `linked` are
        contacts that they bring into an organization.

        Raises:
            Unavailable: neither Kafka nor the spool takes them.
        """
        if await self.outlet.is_back(PATIENCE_S):
            try:
                return encode(await self.publisher.place(records), linked)
            except Unavailable as outage:
                log.warning("command_spooled", extra={"reason": str(outage)})
        await self.outlet.publish(records)
        return None


def row_record(entity: str, raw: dict[str, Any], company_id: int, now: datetime) -> Record:
    """What a row that Pipedrive has just made says."""
    row = rows.read(entity, raw)._replace(action=Action.CREATE.value)
    written_us = row.version(now) // SECOND_US * SECOND_US
    told = rows.envelope(
        row, company_id=company_id, version=written_us, turn=0, now=now, source=Source.APP
    )
    key = b"%d:%s" % (company_id, row.entity_id.encode())
    return Record(topics.OF_ENTITY[entity].name, key, payload.dump(told))


def campaign_record(company_id: int, person_id: int, *, added: bool) -> Record:
    now = datetime.now(UTC)
    change = CampaignChange(
        event_id=str(uuid4()),
        company_id=company_id,
        entity="campaign",
        entity_id=str(person_id),
        action=Action.CHANGE,
        version=time.time_ns() // 1000,
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=CampaignMembership(added_to_campaign=added),
    )
    return Record(topics.APP_CAMPAIGN.name, change.key, dump(change))


def text(row: Mapping[str, Any], name: str) -> str | None:
    found = row.get(name)
    return found if isinstance(found, str) and found else None
