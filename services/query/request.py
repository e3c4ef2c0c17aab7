"""What may be asked of the lists, typed and bounded. Pure.

Rule 1: a parameter that is unknown, or out of bounds, is refused with a sentence.
Rule 2: requests for the same page have the same `name`.
Rule 3: a blank filter or cursor counts as missing: forms send empty fields.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, Field, field_validator

from services.query import cursor
from services.query.cursor import Key, OrganizationKey
from shared import positions
from shared.json_model import Flag, Json, Whole

LIMIT = 20
MOST = 500
LAST_PAGE = 10**9
SEARCH = 100

WARMNESS: dict[str | None, tuple[int, int]] = {
    None: (0, 10),
    "0-3": (0, 3),
    "4-6": (4, 6),
    "7-10": (7, 10),
}

PageNumber = Annotated[
    Whole,
    Field(ge=1, le=LAST_PAGE, description="starts at 1; ignored if cursor is given"),
]
Limit = Annotated[Whole, Field(ge=1, le=MOST, description="rows per page")]


GivenT = TypeVar("GivenT")


def _given(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Given = Annotated[GivenT | None, BeforeValidator(_given)]


@dataclass(frozen=True, slots=True)
class Filters:
    """Scores are inclusive bounds."""

    organization_id: UUID | None = None
    scores: tuple[int, int] = WARMNESS[None]
    in_campaign: bool | None = None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One page of a user's contacts: the one after a key, or else by number."""

    filters: Filters
    page: int
    limit: int
    after: Key | None

    @property
    def name(self) -> str:
        f = self.filters
        where = cursor.encode(self.after) if self.after else ""
        return f"l:{self.page}:{self.limit}:{where}:{f.organization_id}:{f.scores}:{f.in_campaign}"


@dataclass(frozen=True, slots=True)
class OrganizationsRequest:
    """One page of a user's organizations, as of contacts; `search` is a part of the name."""

    page: int
    limit: int
    search: str
    after: OrganizationKey | None

    @property
    def name(self) -> str:
        where = cursor.encode_organization(self.after) if self.after else ""
        return f"o:{self.page}:{self.limit}:{where}:{self.search}"


After = Annotated[
    str | None,
    Field(
        max_length=positions.MOST_CHARS,
        description="token of a write: waits up to 2 seconds until the answer shows it; the "
        "header X-After, and performance.after of a page, then say shown or pending",
    ),
]


class ContactQuery(Json):
    """The parameters of `GET /api/contacts/{id}`."""

    after: After = None


class ListQuery(Json):
    """The parameters of `GET /api/my-500`."""

    page: PageNumber = 1
    limit: Limit = LIMIT
    organization_id: Given[UUID] = Field(
        None, description="only contacts of this organization, or of the one it was merged into"
    )
    warmness: Given[Literal["0-3", "4-6", "7-10"]] = Field(
        None, description="only contacts with a score within these bounds"
    )
    in_campaign: Given[Flag] = Field(None, description="only contacts in, or out of, the campaign")
    cursor: Given[str] = Field(
        None,
        max_length=100,
        description="nextCursor of the previous page; takes precedence over page",
    )
    after: After = None

    @field_validator("cursor")
    @classmethod
    def _is_ours(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                cursor.decode(value)
            except cursor.BadCursor as error:
                raise ValueError("Use a nextCursor exactly as returned") from error
        return value

    def request(self) -> ListRequest:
        filters = Filters(self.organization_id, WARMNESS[self.warmness], self.in_campaign)
        after = cursor.decode(self.cursor) if self.cursor is not None else None
        return ListRequest(filters, self.page, self.limit, after)


class OrganizationsQuery(Json):
    """The parameters of `GET /api/organizations`."""

    page: PageNumber = 1
    limit: Limit = LIMIT
    search: str = Field(
        "", max_length=SEARCH, description="part of the name; case and accents do not matter"
    )
    cursor: Given[str] = Field(
        None,
        max_length=3000,
        description="nextCursor of the previous page; takes precedence over page",
    )
    after: After = None

    @field_validator("search")
    @classmethod
    def _is_text(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("Use text")
        return value.strip()

    @field_validator("cursor")
    @classmethod
    def _is_ours(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                cursor.decode_organization(value)
            except cursor.BadCursor as error:
                raise ValueError("Use a nextCursor exactly as returned") from error
        return value

    def request(self) -> OrganizationsRequest:
        after = cursor.decode_organization(self.cursor) if self.cursor is not None else None
        return OrganizationsRequest(self.page, self.limit, self.search, after)
