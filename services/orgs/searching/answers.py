"""Autocomplete's request and response bodies."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, Field

from services.orgs.rows import plain
from services.orgs.searching import highlight as searching_highlight
from services.orgs.searching import terms as searching_terms
from services.orgs.searching.store import Found
from shared.json_model import Json, Whole

LONGEST_QUERY = 100
MOST = 50
LIMIT = 10

Closeness = Literal["exact", "prefix", "words", "inside", "similar"]
CLOSENESS: Final[tuple[Closeness, ...]] = ("exact", "prefix", "words", "inside", "similar")
Asked = Literal["ok", "not_needed", "not_connected", "limited", "late", "unavailable"]


class Remote(NamedTuple):
    """An organization that Pipedrive's search found."""

    pipedrive_org_id: int
    name: str


def _searchable(text: str) -> str:
    if not searching_terms.of_query(text):
        raise ValueError("must contain a letter or a digit")
    return text.strip()


class SearchQuery(Json):
    """The parameters of `GET /api/organizations/search`."""

    q: Annotated[
        str,
        Field(max_length=LONGEST_QUERY, description="what has been typed of the name so far"),
        AfterValidator(_searchable),
    ]
    limit: Whole = Field(LIMIT, ge=1, le=MOST, description="most organizations in the answer")


class Part(Json):
    """A piece of the name; all pieces together are the name."""

    text: str
    is_match: bool


class Hit(Json):
    """An organization that may be meant. `id` is null if only Pipedrive has it. `closeness` is
    null for Pipedrive's own matches. `alias` is the name of the record that matched, where the
    organization shows another.
    """

    id: UUID | None
    pipedrive_org_id: str | None
    name: str
    alias: str | None
    country: str | None
    city: str | None
    contact_count: int
    source: Literal["store", "pipedrive"]
    closeness: Closeness | None
    highlight: list[Part]


class Sources(Json):
    """Which sources were searched, and the outcome of each."""

    store: Literal["ok"]
    pipedrive: Asked


class SearchAnswer(Json):
    """Organizations that match what was typed, best first."""

    organizations: list[Hit]
    sources: Sources


def hit(found: Found, terms: Sequence[str], *, source: Literal["store", "pipedrive"]) -> Hit:
    number = found.pipedrive_org_id
    return Hit(
        id=plain(found.organization_id),
        pipedrive_org_id=None if number is None else str(number),
        name=found.name,
        alias=found.alias,
        country=found.country,
        city=found.city,
        contact_count=found.contact_count,
        source=source,
        closeness=CLOSENESS[found.closeness] if source == "store" else None,
        highlight=_highlight(found.name, terms),
    )


def remote_hit(remote: Remote, terms: Sequence[str]) -> Hit:
    return Hit(
        id=None,
        pipedrive_org_id=str(remote.pipedrive_org_id),
        name=remote.name,
        alias=None,
        country=None,
        city=None,
        contact_count=0,
        source="pipedrive",
        closeness=None,
        highlight=_highlight(remote.name, terms),
    )


def _highlight(name: str, terms: Sequence[str]) -> list[Part]:
    parts = searching_highlight.parts(name, terms)
    return [Part(text=part.text, is_match=part.is_match) for part in parts]
