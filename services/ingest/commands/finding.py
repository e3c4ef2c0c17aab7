"""An organization that stands in Pipedrive though nobody has told us: it is not made again.

Rule 1: its name is the one asked for, in the spelling that Pipedrive tidies it to.
Rule 2: what orgs knows as part of another organization is not it, whatever its name: people or
        evidence keep the two apart.
Rule 3: Pipedrive's search may lag, and may be forbidden to the token; what it does not show is
        made. An outage is none of these: nothing is made before Pipedrive has been asked.
"""

from dataclasses import dataclass
from typing import Any, Final

from services.ingest.commands import wanted
from services.ingest.commands.neighbours import NOT_FOUND, Neighbours, Organization
from shared import ids
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import Refused as PipedriveRefused
from shared.web import Refused

PATH: Final = "/v2/organizations"
LOOKED_AT: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """For one caller, whose header `token` is."""

    pipedrive: Pipedrive
    neighbours: Neighbours
    token: str
    deadline_s: float

    async def organization(self, ours: Organization) -> dict[str, Any] | None:
        """Its row in Pipedrive.

        Raises:
            Unavailable: Pipedrive or orgs is away.
        """
        try:
            for org_id in await self._called(ours.name):
                if await self._may_be(org_id, ours):
                    row = await self.pipedrive.get(f"{PATH}/{org_id}", deadline_s=self.deadline_s)
                    return row if isinstance(row, dict) and not row.get("is_deleted") else None
        except PipedriveRefused:
            return None
        return None

    async def _called(self, name: str) -> list[int]:
        term = " ".join(name.split())
        asked = {"term": term, "fields": "name", "exact_match": True, "limit": LOOKED_AT}
        page = await self.pipedrive.page(f"{PATH}/search", asked, deadline_s=self.deadline_s)
        items = [row.get("item") for row in page.rows]
        return [
            item["id"]
            for item in items
            if isinstance(item, dict)
            and type(item.get("id")) is int
            and wanted.is_same_text(name, str(item.get("name")))
        ]

    async def _may_be(self, org_id: int, ours: Organization) -> bool:
        known_as = ids.organization(self.pipedrive.company_id, org_id)
        try:
            known = await self.neighbours.organization(known_as, self.token)
        except Refused as refused:
            if refused.status == NOT_FOUND:
                return True
            raise
        return known.organization_id == ours.organization_id
