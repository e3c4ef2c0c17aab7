"""What Pipedrive has no more though nobody has told us: a command that names it is refused.

Rule 1: a row is gone when Pipedrive says so of that row: by 404, or by showing it as deleted. That
        a request which names it is refused says nothing: it may be for another reason.
Rule 2: it counts as gone since before Pipedrive was asked, so that whatever a webhook tells later
        wins.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.ingest import fields, payload, rows, values
from services.ingest.commands.telling import Telling
from shared import topics
from shared.errors import Unavailable
from shared.events import Source, key
from shared.kafka.publisher import Record
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import GONE, PipedriveRefused

PATHS: Final = {"organization": "/v2/organizations", "person": "/v2/persons"}
ODD_REQUEST: Final = frozenset({400, 404, 410, 422})
"""Nobody documents by which of them Pipedrive refuses what names a row that it has no more."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What one command finds to be gone."""

    pipedrive: Pipedrive
    telling: Telling
    deadline_s: float

    async def explains(self, refused: PipedriveRefused, entity: str, row_id: int) -> bool:
        """Whether a request that names the row is refused because it is gone. If so, that has been
        told to all who know of it.

        Raises:
            Unavailable: neither Kafka nor the spool takes it.
        """
        if refused.status not in ODD_REQUEST:
            return False
        asked_at = datetime.now(UTC)
        if not await self._is_gone(entity, row_id):
            return False
        await self.telling.pass_on([record(self.pipedrive.company_id, entity, row_id, asked_at)])
        return True

    async def _is_gone(self, entity: str, row_id: int) -> bool:
        """Where Pipedrive does not say, its refusal says more than an outage would."""
        path = f"{PATHS[entity]}/{row_id}"
        try:
            row = await self.pipedrive.get(path, deadline_s=self.deadline_s)
        except PipedriveRefused as refused:
            return refused.status in GONE
        except Unavailable:
            return False
        return isinstance(row, dict) and fields.is_deleted(entity, row)


def record(company_id: int, entity: str, row_id: int, asked_at: datetime) -> Record:
    row = rows.gone(entity, str(row_id))
    told = rows.envelope(
        row,
        company_id=company_id,
        version=values.micros(asked_at),
        turn=0,
        now=datetime.now(UTC),
        source=Source.SYNC,
    )
    topic = topics.OF_ENTITY[entity].name
    return Record(topic, key(company_id, row.entity_id), payload.dump(told))
