"""Search requests, typed and bounded. Pure."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from services.query.request import LIMIT, MOST, WARMNESS, After, Filters, Given
from shared.json_model import Flag, Json, Whole

MOST_TEXT = 200
DEEPEST = 1000
"""Hits that pages may reach: beyond them, more words help more than more pages."""
SUGGESTIONS = 8
MOST_SUGGESTIONS = 20

Text = Annotated[
    str, Field(min_length=1, max_length=MOST_TEXT, description="what to look for, as typed")
]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    text: str
    filters: Filters
    page: int
    limit: int
    facets: bool

    @property
    def start(self) -> int:
        """Hits before the page."""
        return (self.page - 1) * self.limit

    @property
    def end(self) -> int:
        """Hits up to its end; the last page ends at the limit."""
        return min(self.page * self.limit, DEEPEST)

    @property
    def name(self) -> str:
        f = self.filters
        filters = f"{f.organization_id}:{f.scores}:{f.in_campaign}"
        return f"s:{self.page}:{self.limit}:{filters}:{self.facets:d}:{self.text}"


@dataclass(frozen=True, slots=True)
class SuggestRequest:
    text: str
    limit: int

    @property
    def name(self) -> str:
        return f"g:{self.limit}:{self.text}"


def _text(value: str) -> str:
    if "\0" in value or not value.strip():
        raise ValueError("Enter a search text")
    return " ".join(value.split())


class SearchQuery(Json):
    """The parameters of `GET /api/my-500/search`."""

    q: Text
    page: Annotated[Whole, Field(ge=1, le=DEEPEST, description="starts at 1")] = 1
    limit: Annotated[Whole, Field(ge=1, le=MOST, description="rows per page")] = LIMIT
    organization_id: Given[UUID] = Field(None, description="only contacts of this organization")
    warmness: Given[Literal["0-3", "4-6", "7-10"]] = Field(
        None, description="only contacts with a score within these bounds"
    )
    in_campaign: Given[Flag] = Field(None, description="only contacts in, or out of, the campaign")
    facets: Flag = Field(False, description="also count the hits by organization and so on")
    after: After = None

    @field_validator("q")
    @classmethod
    def _is_text(cls, value: str) -> str:
        return _text(value)

    @model_validator(mode="after")
    def _is_within_reach(self) -> Self:
        if (self.page - 1) * self.limit >= DEEPEST:
            raise ValueError(
                f"Only the best {DEEPEST:,} hits can be paged through; add words to the search"
            )
        return self

    def request(self) -> SearchRequest:
        filters = Filters(self.organization_id, WARMNESS[self.warmness], self.in_campaign)
        return SearchRequest(self.q, filters, self.page, self.limit, self.facets)


class SuggestQuery(Json):
    """The parameters of `GET /api/my-500/suggest`."""

    q: Text
    limit: Annotated[Whole, Field(ge=1, le=MOST_SUGGESTIONS, description="of each kind")] = (
        SUGGESTIONS
    )
    after: After = None

    @field_validator("q")
    @classmethod
    def _is_text(cls, value: str) -> str:
        return _text(value)

    def request(self) -> SuggestRequest:
        return SuggestRequest(self.q, self.limit)
