"""The orgs API's request and response bodies."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from services.orgs import names
from services.orgs.matching.decision import Rule
from services.orgs.matching.explaining import Why
from services.orgs.organization_store import Organization
from services.orgs.rows import plain
from shared.json_model import Json

LONGEST_NAME = 255
LONGEST_TEXT = 1_000


def free_of_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _nameable(name: str) -> str:
    if not any(char.isalnum() for char in name):
        raise ValueError("must contain a letter or a digit")
    return name.strip()


Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(free_of_nul)]


class WantedOrganization(Json):
    """An organization to find by its name, or else to create."""

    name: Annotated[
        str,
        Field(max_length=LONGEST_NAME),
        AfterValidator(free_of_nul),
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
    """Why this organization is the answer. `score` and `evidence` compare what was asked for with
    the record it was linked to.
    """

    rule: Literal["normalized_name", "key_and_evidence", "score", "verdict", "created"]
    reason: str
    score: float | None = None
    evidence: tuple[str, ...] = ()


class MatchedOrganization(OrganizationAnswer):
    """The organization that has the name, found or created."""

    match: Match


_RULES: Mapping[Rule, Any] = {
    Rule.VERDICT: "verdict",
    Rule.KEY_AND_EVIDENCE: "key_and_evidence",
    Rule.EQUAL_NAME: "normalized_name",
    Rule.SCORE: "score",
}


def found_because(why: Why) -> Match:
    return Match(
        rule=_RULES[why.rule],
        reason=why.reason,
        score=round(why.score, 4),
        evidence=why.evidence,
    )


def found_by_name(normalized_name: str) -> Match:
    reason = f"This organization has the normalized name '{normalized_name}'."
    return Match(rule="normalized_name", reason=reason)


def created(normalized_name: str, *, taken: bool = False) -> Match:
    reason = f"No organization had the normalized name '{normalized_name}', so it was created."
    if taken:
        reason = (
            f"Others have the normalized name '{normalized_name}', but their domains, countries "
            "or users' decisions tell them apart, so a separate one was created."
        )
    return Match(rule="created", reason=reason)


def organization(found: Organization) -> OrganizationAnswer:
    return OrganizationAnswer(**_facts(found))


def matched(found: Organization, match: Match) -> MatchedOrganization:
    return MatchedOrganization(**_facts(found), match=match)


def _facts(found: Organization) -> dict[str, Any]:
    shown = found.shown
    number = shown.pipedrive_org_id
    return {
        "id": plain(found.organization_id),
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
