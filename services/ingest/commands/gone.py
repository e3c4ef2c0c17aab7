"""Finds out whether a command was refused because Pipedrive has deleted what it names.

Rule 1: a row is gone when Pipedrive says so of that row: by 404, or by showing it as deleted. The
        refusal of a request that names it proves nothing: there may be another reason.
Rule 2: the deletion is dated before Pipedrive was asked, so that any later webhook wins.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.ingest import fields, rows, values
from services.ingest.commands.telling import Telling
from shared.errors import Unavailable
from shared.events import Source
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import GONE, PipedriveRefused

PATHS: Final = {"organization": "/v2/organizations", "person": "/v2/persons"}
ODD_REQUEST: Final = frozenset({400, 404, 410, 422})
"""It is undocumented with which of these Pipedrive refuses a request that names a deleted row."""


@dataclass(frozen=True, slots=True)
class Gone:
    """For one command."""

    pipedrive: Pipedrive
    telling: Telling
    deadline_s: float

    async def explains(self, refused: PipedriveRefused, entity: str, row_id: int) -> bool:
        """Whether a request that names the row was refused because that is gone. If so, the
        deletion has been published.

        Raises:
            Unavailable: neither Kafka nor the spool accepts it.
        """
        if refused.status not in ODD_REQUEST:
            return False
        asked_at = datetime.now(UTC)
        if not await self._is_gone(entity, row_id):
            return False
        told = rows.record(
            rows.gone(entity, str(row_id)),
            company_id=self.pipedrive.company_id,
            version=values.micros(asked_at),
            turn=0,
            now=datetime.now(UTC),
            source=Source.SYNC,
        )
        await self.telling.pass_on([told])
        return True

    async def _is_gone(self, entity: str, row_id: int) -> bool:
        """False in an outage: the user then gets the refusal, which says more."""
        path = f"{PATHS[entity]}/{row_id}"
        try:
            row = await self.pipedrive.get(path, deadline_s=self.deadline_s)
        except PipedriveRefused as refused:
            return refused.status in GONE
        except Unavailable:
            return False
        return isinstance(row, dict) and fields.is_deleted(entity, row)
