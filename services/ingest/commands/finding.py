"""Finds an organization that already exists in Pipedrive though we have not heard of it.

Rule 1: its name is the one asked for, in the spelling that Pipedrive normalizes it to.
Rule 2: a row that orgs knows as part of another organization is not it, whatever its name: people
        or evidence keep the two apart. Nor is a row that orgs does not know yet and whose website
        differs: once a row is linked to our organization, it stays so.
Rule 3: Pipedrive's search may lag, and the token may not be allowed to search; what it does not
        show is created. An outage is different: nothing is created before Pipedrive was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from services.ingest.commands import wanted
from services.ingest.commands.neighbours import NOT_FOUND, Headers, Neighbours, Organization
from shared import ids
from shared.pipedrive.client import Pipedrive
from shared.pipedrive.errors import PipedriveRefused
from shared.web import Refused

PATH: Final = "/v2/organizations"
LOOKED_AT: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """For one caller, whom `headers` authenticate."""

    pipedrive: Pipedrive
    neighbours: Neighbours
    headers: Headers
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
                    if isinstance(row, dict) and _serves(row, ours):
                        return row
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
        known = await self._known(org_id)
        return known is None or known.organization_id == ours.organization_id

    async def still_serves(self, ours: Organization, row: Mapping[str, Any]) -> bool:
        """Whether a row that was created for ours still belongs to it. It does not if orgs knows
        that it was created for ours and holds the two apart all the same: people have decided so.

        Raises:
            Unavailable: orgs is away.
        """
        org_id, our_id = int(row["id"]), ours.organization_id
        known = await self._known(org_id)
        made_for = ids.made_for(self.pipedrive.company_id, org_id, our_id)
        if known is None or made_for not in known.verdicts:
            return True
        now_ours = await self.neighbours.organization(our_id, self.headers)
        return known.organization_id == now_ours.organization_id

    async def _known(self, org_id: int) -> Organization | None:
        """The organization that has the record; null if orgs does not know the record yet."""
        known_as = ids.organization(self.pipedrive.company_id, org_id)
        try:
            return await self.neighbours.organization(known_as, self.headers)
        except Refused as refused:
            if refused.status == NOT_FOUND:
                return None
            raise


def _serves(row: Mapping[str, Any], ours: Organization) -> bool:
    theirs, own = _host(row.get("website")), _host(ours.website)
    are_one = not (theirs and own) or _is_within(theirs, own) or _is_within(own, theirs)
    return are_one and not row.get("is_deleted")


def _is_within(host: str, other: str) -> bool:
    return f".{host}".endswith(f".{other}")


def _host(website: Any) -> str:
    """Empty if the website names none."""
    text = website.strip().lower() if isinstance(website, str) else ""
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return ""
    return (host or "").removeprefix("www.")
