"""What the orgs API takes and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from services.orgs import names
from services.orgs.organization_store import Organization
from shared.web import Json

LONGEST_NAME = 255
LONGEST_TEXT = 1_000


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _nameable(name: str) -> str:
    if not any(char.isalnum() for char in name):
        raise ValueError("must have a letter or a digit")
    return name.strip()


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_storable)]


class WantedOrganization(Json):
    """An organization to find by its name, or else to make."""

    name: Annotated[
        str,
        Field(max_length=LONGEST_NAME),
        AfterValidator(_storable),
        AfterValidator(_nameable),
    ]
    industry: Text | None = None
    size: Text | None = None
    website: Text | None = None
    address: Text | None = None
    country: Text | None = None
    city: Text | None = None


class OrganizationAnswer(Json):
    """An organization."""

    id: UUID
    name: str | None
    normalized_name: str
    pipedrive_org_id: str | None
    industry: str | None
    size: str | None
    website: str | None
    address: str | None
    country: str | None
    city: str | None
    contact_count: int
    last_activity: datetime | None


class Match(Json):
    """Why this organization is the answer."""

    rule: Literal["normalized_name", "created"]
    reason: str


class MatchedOrganization(OrganizationAnswer):
    """The organization that has the name, found or made."""

    match: Match


def organization(found: Organization) -> OrganizationAnswer:
    return OrganizationAnswer(**_facts(found))


def matched(found: Organization, match: Match) -> MatchedOrganization:
    return MatchedOrganization(**_facts(found), match=match)


def _facts(found: Organization) -> dict[str, Any]:
    shown = found.shown
    number = shown.pipedrive_org_id
    return {
        "id": UUID(bytes=found.organization_id.bytes),
        "name": shown.name,
        "normalized_name": names.normalized(shown.name),
        "pipedrive_org_id": None if number is None else str(number),
        "industry": shown.industry,
        "size": shown.size,
        "website": shown.website,
        "address": shown.address,
        "country": shown.country,
        "city": shown.city,
        "contact_count": found.contact_count,
        "last_activity": found.last_activity,
    }
