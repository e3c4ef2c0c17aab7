"""What the search answers: from rows to the JSON of the contract. Pure."""

from typing import Any
from uuid import UUID

from pydantic import Field

from services.query.answers import Contact, Pagination
from services.query.searching import highlighting
from services.query.searching.asking import Asked
from services.query.searching.matching import Wide
from shared.json_model import Json

Ranges = list[tuple[int, int]]


class Highlights(Json):
    """Matched ranges, as [start, end) in UTF-16 code units of the displayed text."""

    name: Ranges
    email: Ranges
    phone: Ranges
    organization: Ranges = Field(description="in the organization's name")


class FoundContact(Contact):
    """A contact, and why it was found."""

    highlights: Highlights


class SearchPagination(Pagination):
    """As of the list; pages reach the best 1,000 hits, whatever the total."""

    total_is_exact: bool = Field(description="false: about this many, or more")


class FacetOrganization(Json):
    """An organization that hits belong to."""

    id: UUID
    name: str | None
    contacts: int


class Facets(Json):
    """Counts of the hits; `areExact` false: extrapolated from a sample."""

    organizations: list[FacetOrganization] = Field(
        description="most hits first; with more than 5,000 hits, a sample determines which "
        "organizations are counted"
    )
    warmness: dict[str, int]
    in_campaign: dict[str, int]
    are_exact: bool


class SearchPage(Json):
    """A page of hits, best first, then in the order of the list."""

    contacts: list[FoundContact]
    pagination: SearchPagination
    facets: Facets | None = None


class SuggestedContact(Json):
    """A contact that may be meant."""

    id: UUID
    name: str | None
    email: str | None
    organization: str | None
    highlights: Highlights


class SuggestedOrganization(FacetOrganization):
    """An organization that may be meant; `contacts` are the user's that were found by it."""

    highlights: Ranges


class Suggestions(Json):
    """Suggestions for what was typed so far."""

    contacts: list[SuggestedContact]
    organizations: list[SuggestedOrganization]


def highlights(shown: Any, asked: Asked, wide: Wide) -> dict[str, list[list[int]]]:
    """For a row of `shown_contacts`."""
    return {
        "name": highlighting.of_name(shown["name"], asked, wide),
        "email": highlighting.of_email(shown["email"], asked, wide),
        "phone": highlighting.of_number(shown["phone"], asked),
        "organization": highlighting.of_name(shown["organization_name"], asked, wide),
    }


def suggested(row: Any, asked: Asked, wide: Wide) -> dict[str, Any]:
    return {
        "id": str(row["contact_id"]),
        "name": row["name"],
        "email": row["email"],
        "organization": row["organization_name"],
        "highlights": highlights(row, asked, wide),
    }
