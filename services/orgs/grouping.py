"""Which records form one organization, and what it shows. Pure.

Rule 1: which living records of a tenant belong together is decided by `matching.partition`, for a
        block as a whole, so the order of arrival does not matter.
Rule 2: the organization's id is that of the lowest Pipedrive id among them, else of the record a
        user made; where people merged, among those that should keep it (`matching.claiming`).
Rule 3: each field comes from what our users typed, else from the newest record that has it, among
        equally new ones from the most informative; empty never overwrites. The name is the newest,
        in the spelling of a user who typed it: renames show, whatever a record was created as.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from services.orgs import names
from services.orgs.matching import meeting, partition, profile
from services.orgs.matching.profile import Profile, Stated
from services.orgs.matching.statement import Statement
from shared.register import Register

Crowds = Collection[tuple[int, meeting.Key]]
"""Tenant, and a key in it that too many records share."""

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
    "made_by",
)
"""What a record keeps, in the order of its columns."""


SHOWN_FIELDS = ("name", "industry", "size", "website", "address", "country", "city")


class Record(NamedTuple):
    """A Pipedrive organization, or one that a user made. `home` is the organization of whatever
    names the record, `profile` what it is compared by.
    """

    company_id: int
    record_id: UUID
    pipedrive_org_id: int | None
    register: Register
    profile: Profile
    name_key: UUID | None
    home: UUID | None

    @property
    def normalized_name(self) -> str:
        return self.profile.name.normalized

    @property
    def key(self) -> tuple[int, UUID]:
        return self.company_id, self.record_id

    @property
    def lives(self) -> bool:
        return not self.register.deleted


class Shown(NamedTuple):
    """What an organization shows, from its records."""

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
    """The records of one organization. `gone` are dead ones that people called the same as some of
    them.
    """

    company_id: int
    organization_id: UUID
    records: Sequence[Record]
    gone: frozenset[UUID]


def named(
    company_id: int,
    record_id: UUID,
    pipedrive_org_id: int | None,
    register: Register,
    home: UUID | None = None,
    name_key: UUID | None = None,
) -> Record:
    """The record with what it is compared by. Passing a known name key saves hashing, which is a
    third of the work.
    """
    held = register.fields
    stated = Stated(
        held["name"],
        website=held["website"],
        country=held["country"],
        postcode=held["postcode"],
        city=held["city"],
    )
    found = profile.of(stated, ref=record_id.hex, pipedrive_id=pipedrive_org_id)
    key = name_key or names.key(company_id, found.name.normalized)
    return Record(company_id, record_id, pipedrive_org_id, register, found, key, home)


def partitioned(
    block: Iterable[Record],
    said: Mapping[int, Sequence[Statement]] | None = None,
    crowded: Crowds = (),
) -> list[Group]:
    """The organizations that the living records of a block form. `said` is by tenant."""
    living: dict[int, dict[UUID, Record]] = {}
    gone: dict[int, set[UUID]] = {}
    for record in block:
        if record.lives:
            living.setdefault(record.company_id, {})[record.record_id] = record
        else:
            gone.setdefault(record.company_id, set()).add(record.record_id)
    groups: list[Group] = []
    for company_id, records in living.items():
        formed = partition.partition(
            {ref: record.profile for ref, record in records.items()},
            (said or {}).get(company_id, ()),
            frozenset(key for company, key in crowded if company == company_id),
            frozenset(gone.get(company_id, ())),
        )
        groups += [_group(company_id, found, records) for found in formed.groups]
    return groups


def _group(company_id: int, found: partition.Together, of: Mapping[UUID, Record]) -> Group:
    first = min((of[ref] for ref in found.claiming), key=_claim)
    return Group(company_id, first.record_id, [of[ref] for ref in found.refs], found.gone)


def shown(records: Sequence[Record], organization_id: UUID | None = None) -> Shown:
    """What the records show, as the organization with this id."""
    fields = {name: held.register.fields[name] for name, held in _holders(records).items()}
    return Shown(pipedrive_org_id=_number(records, organization_id), **fields)


def called(records: Iterable[Record]) -> frozenset[str]:
    """The names that records have."""
    names_told = (record.register.fields["name"] for record in records)
    return frozenset(filter(_is_filled, names_told))


def sources(records: Sequence[Record]) -> dict[str, UUID]:
    """The record that each shown field comes from."""
    return {name: held.record_id for name, held in _holders(records).items()}


def _holders(records: Sequence[Record]) -> dict[str, Record]:
    first = sorted(records, key=_authority, reverse=True)
    found: dict[str, Record] = {}
    for name in SHOWN_FIELDS:
        holders = (r for r in first if _is_filled(r.register.fields[name]))
        holder = _of_newest_name(holders) if name == "name" else next(holders, None)
        if holder is not None:
            found[name] = holder
    return found


def _of_newest_name(first: Iterable[Record]) -> Record | None:
    named = list(first)
    if not named:
        return None
    newest = max(named, key=lambda record: _authority(record)[1:])
    return next(r for r in named if r.normalized_name == newest.normalized_name)


def _number(records: Sequence[Record], organization_id: UUID | None) -> int | None:
    """The Pipedrive id of the record that gave the organization its id, else the lowest."""
    numbers = {r.record_id: r.pipedrive_org_id for r in records if r.pipedrive_org_id is not None}
    own = numbers.get(organization_id) if organization_id else None
    return min(numbers.values(), default=None) if own is None else own


def _claim(record: Record) -> tuple[bool, int, UUID]:
    number = record.pipedrive_org_id
    return number is None, number or 0, record.record_id


def _authority(record: Record) -> tuple[bool, int, int, int, UUID]:
    number = record.pipedrive_org_id
    held = record.register.fields
    says = sum(_is_filled(held[name]) for name in SHOWN_FIELDS)
    version = record.register.stamp.version
    return number is None, version, says, -1 if number is None else number, record.record_id


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
