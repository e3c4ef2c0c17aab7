"""Which records form one organization, and what it shows. Pure.

Rule 1: living records of a tenant that share a normalized name are one organization; a record
        without a name to compare stands alone.
Rule 2: its id is that of the lowest Pipedrive id among them, else of the record a user made.
Rule 3: each field comes from the newest record that has it; empty never overwrites.
Rule 4: a block of records is partitioned as a whole, so order of arrival cannot show.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import names
from shared.register import Register

FIELDS = (
    "name",
    "industry",
    "size",
    "website",
    "address",
    "country",
    "city",
    "postcode",
    "merged_into",
)
"""What a record keeps, in the order of its columns."""


class Record(NamedTuple):
    """One organization of Pipedrive's, or one that a user made. `home` is where what names it
    belongs.
    """

    company_id: int
    record_id: UUID
    pipedrive_org_id: int | None
    register: Register
    normalized_name: str
    name_key: UUID | None
    home: UUID | None

    @property
    def key(self) -> tuple[int, UUID]:
        return self.company_id, self.record_id

    @property
    def lives(self) -> bool:
        return not self.register.deleted


class Shown(NamedTuple):
    """What an organization shows of its records."""

    name: str | None = None
    pipedrive_org_id: int | None = None
    industry: str | None = None
    size: str | None = None
    website: str | None = None
    address: str | None = None
    country: str | None = None
    city: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one organization."""

    company_id: int
    organization_id: UUID
    records: Sequence[Record]


def named(
    company_id: int,
    record_id: UUID,
    pipedrive_org_id: int | None,
    register: Register,
    home: UUID | None = None,
) -> Record:
    """The record with its name as others are compared with it."""
    normalized = names.normalized(register.fields["name"])
    name_key = names.key(company_id, normalized)
    return Record(company_id, record_id, pipedrive_org_id, register, normalized, name_key, home)


def partition(block: Iterable[Record]) -> list[Group]:
    """The organizations that the living records of a block form."""
    together: dict[tuple[int, UUID], list[Record]] = {}
    for record in block:
        if record.lives:
            meeting = (record.company_id, record.name_key or record.record_id)
            together.setdefault(meeting, []).append(record)
    return [
        Group(company_id, min(records, key=_claim).record_id, records)
        for (company_id, _), records in together.items()
    ]


def shown(records: Sequence[Record]) -> Shown:
    newest = sorted(records, key=_recency, reverse=True)
    registers = [record.register.fields for record in newest]
    numbers = [r.pipedrive_org_id for r in records if r.pipedrive_org_id is not None]
    return Shown(
        name=_first("name", registers),
        pipedrive_org_id=min(numbers, default=None),
        industry=_first("industry", registers),
        size=_first("size", registers),
        website=_first("website", registers),
        address=_first("address", registers),
        country=_first("country", registers),
        city=_first("city", registers),
    )


def _claim(record: Record) -> tuple[bool, int, UUID]:
    number = record.pipedrive_org_id
    return number is None, number or 0, record.record_id


def _recency(record: Record) -> tuple[int, int, UUID]:
    number = record.pipedrive_org_id
    return record.register.stamp.version, -1 if number is None else number, record.record_id


def _first(field: str, newest_first: Iterable[Mapping[str, Any]]) -> str | None:
    for fields in newest_first:
        value: str | None = fields[field]
        if value is not None and value.strip():
            return value
    return None
