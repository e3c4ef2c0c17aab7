"""The reference model's middle: rows by entity, and what links lead to through merges.

Rule 1: links go to living records only, through any chain of merges, and nowhere in a circle.
Rule 2: organization records of one normalized name are one organization, however many; unless two
        of them name different web domains or countries: then only those stay together that name
        one domain or one country, and contradict each other in nothing. Other spellings link in no
        history here: each name has a domain of its own, and no address has a postcode.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from tests.support.webhook_reading import Body, Row, company_of, facts, moment

Tenant = Mapping[str, Any]


def normalized(name: str | None) -> str:
    return " ".join(re.sub(r"[^\w\s]", "", (name or "").lower()).split())


@dataclass(frozen=True, slots=True)
class Group:
    """Records that are one organization, newest version first."""

    records: tuple[Row, ...]

    @property
    def lowest(self) -> str:
        return min((one.entity_id for one in self.records), key=int)

    def first(self, shown: str) -> Any:
        values = (ORGANIZATION_FIELDS[shown](one) for one in self.records)
        return next((one for one in values if not is_empty(one)), None)


class Rows:
    """All rows of one company; what is derived from them is worked out once."""

    def __init__(self, bodies: Iterable[Body], company_id: int, tenant: Tenant) -> None:
        self.company_id = company_id
        self.tenant = tenant
        self.rows: dict[str, dict[str, Row]] = defaultdict(dict)
        for body in bodies:
            if company_of(body) != company_id:
                continue
            for fact in facts(body):
                row = self.rows[fact.entity].setdefault(fact.entity_id, Row(fact.entity_id, fact))
                row.learn(fact)

    def living(self, entity: str) -> list[Row]:
        return [row for row in self.rows[entity].values() if row.is_living]

    def resolve(self, entity: str, start: str | None) -> str | None:
        """The living record that a link leads to, through any chain of merges."""
        seen: set[str] = set()
        at = start
        while at is not None and at not in seen and (row := self.rows[entity].get(at)):
            if row.is_living:
                return at
            seen.add(at)
            at = row.merged_into
        return None

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Pipedrive organization id → the organization of ours that it is part of."""
        by_name: dict[str, list[Row]] = defaultdict(list)
        for row in self.living("organization"):
            # A name without a letter or digit matches none, so its record stands alone.
            by_name[normalized(row.get("name")) or f"\0{row.entity_id}"].append(row)
        found: dict[str, Group] = {}
        for rows in [part for named in by_name.values() for part in parted(named)]:
            rows.sort(key=authority, reverse=True)
            found |= dict.fromkeys((one.entity_id for one in rows), Group(tuple(rows)))
        return found

    def group_of(self, person: Row) -> Group | None:
        return self.groups.get(self.resolve("organization", person.get("org_id")) or "")

    @cached_property
    def contact_counts(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for person in self.living("person"):
            if group := self.group_of(person):
                counts[group.lowest] += 1
        return counts

    @cached_property
    def by_person(self) -> dict[str, dict[str, list[Row]]]:
        """Entity → person id → its living activities, deals or leads, merged ones' included."""
        found: dict[str, dict[str, list[Row]]] = {}
        for entity in ("activity", "deal", "lead"):
            found[entity] = defaultdict(list)
            for row in self.living(entity):
                if person := self.resolve("person", row.get("person_id")):
                    found[entity][person].append(row)
        return found

    @cached_property
    def last_activities(self) -> dict[str, datetime]:
        """By the organization's lowest record id: named by the activity, or its contact's."""
        last: dict[str, datetime] = {}
        for activity in self.living("activity"):
            when = done_at(activity)
            person = self.resolve("person", activity.get("person_id"))
            org = self.resolve("organization", activity.get("org_id"))
            named = self.groups.get(org or "")
            through = self.group_of(self.rows["person"][person]) if person else None
            for group in (named, through):
                if group and when:
                    last[group.lowest] = max(when, last.get(group.lowest, when))
        return last

    def last_contacted(self, person: Row) -> datetime | None:
        moments = (done_at(one) for one in self.by_person["activity"][person.entity_id])
        return max((one for one in moments if one), default=None)

    def custom(self, row: Row, meaning: str) -> Any:
        key = self.tenant.get("custom_fields", {}).get(meaning)
        return row.get(f"custom:{key}") if key else None

    def job_title(self, person: Row) -> str | None:
        return person.get("job_title") or self.custom(person, "job_title") or None


def parted(rows: list[Row]) -> list[list[Row]]:
    """Equally named records, as one if they agree."""
    if agree(rows):
        return [rows]
    by_domain: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_domain[domain(row) or f"\0{row.entity_id}"].append(row)
    units = []
    for members in by_domain.values():
        units += [members] if agree(members) else [[row] for row in members]
    return by_country(units)


def by_country(units: list[list[Row]]) -> list[list[Row]]:
    """Those of one country together, if they agree."""
    sides: dict[str, list[list[Row]]] = defaultdict(list)
    for unit in units:
        named = next(filter(None, map(ORGANIZATION_FIELDS["country"], unit)), None)
        sides[named or f"\0{unit[0].entity_id}"].append(unit)
    found = []
    for side in sides.values():
        whole = [row for unit in side for row in unit]
        found += [whole] if agree(whole) else side
    return found


def agree(rows: list[Row]) -> bool:
    countries = {ORGANIZATION_FIELDS["country"](row) for row in rows}
    return all(len(found - {None}) <= 1 for found in (countries, set(map(domain, rows))))


def domain(row: Row) -> str | None:
    website = row.get("website")
    return None if is_empty(website) else website.removeprefix("https://").removeprefix("www.")


def authority(row: Row) -> tuple[int, int, int]:
    """The newest first, of equally new ones the one that says most."""
    says = sum(not is_empty(read(row)) for read in ORGANIZATION_FIELDS.values())
    return row.newest.version[0], says, int(row.entity_id)


def done_at(activity: Row) -> datetime | None:
    """The moment of a done activity; None if it is not done."""
    if not activity.get("done"):
        return None
    if marked := when(activity.get("marked_as_done_time")):
        return marked
    told = activity.newest.at
    due = when(activity.get("due_date"))
    return min(due, told) if due else told


def when(text: str | None) -> datetime | None:
    return moment(text) if text else None


def primary(entries: list[Mapping[str, Any]] | None) -> str | None:
    """The primary one if it is not empty, else the first that is not."""
    filled = [one for one in entries or () if one.get("value")]
    first = next((one for one in filled if one.get("primary")), None) or next(iter(filled), None)
    return str(first["value"]) if first else None


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def part(row: Row, *keys: str) -> str | None:
    """The first non-empty part of the record's address; a plain text has no parts."""
    address = row.get("address")
    if isinstance(address, str):
        address = {"value": address}
    return next((v for key in keys if not is_empty(v := (address or {}).get(key))), None)


def size(row: Row) -> str | None:
    count = row.get("employee_count")
    return None if count is None else str(count)


ORGANIZATION_FIELDS: Mapping[str, Any] = {
    "name": lambda row: row.get("name"),
    "industry": lambda row: row.get("industry"),
    "size": size,
    "website": lambda row: row.get("website"),
    "address": lambda row: part(row, "value", "formatted_address"),
    "country": lambda row: part(row, "country") or row.get("country_code"),
    "city": lambda row: part(row, "locality"),
}
