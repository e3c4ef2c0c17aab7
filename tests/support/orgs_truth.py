"""What the organization store must hold after some facts, worked out from scratch and slowly.

Rule: facts are sorted and applied in their true order; nothing of the service's code is used but
the normalized name.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from services.orgs import names
from shared.events import Action
from shared.kafka.consumer import Received
from tests.support.orgs_matching_truth import Said, contradict, sort, standing

RANKS = {Action.CREATE: 0, Action.CHANGE: 1, Action.DELETE: 2}
SHOWN = ("name", "industry", "size", "website", "address", "country", "city")

Row = dict[str, Any]
Rows = dict[tuple[int, str], Row]


@dataclass
class Truth:
    """Keys are (company, id): of organizations UUID, of contacts Pipedrive's number."""

    organizations: dict[tuple[int, UUID], Row] = field(default_factory=dict)
    links: dict[tuple[int, int], UUID] = field(default_factory=dict)
    leads_to: dict[tuple[int, UUID], UUID | None] = field(default_factory=dict)
    """Where the id of each record leads, those of organizations included."""


def truth(facts: Iterable[Received]) -> Truth:
    found = Truth()
    by_company: dict[int, list[Received]] = defaultdict(list)
    for received in facts:
        by_company[received.fact.company_id].append(received)
    for company_id, theirs in by_company.items():
        _add(found, company_id, _rows(theirs))
    return found


def _rows(facts: Iterable[Received]) -> Mapping[str, Rows]:
    said: list[tuple[Any, str, str, bool, Row]] = []
    for _, fact in facts:
        deleted = fact.action is Action.DELETE
        row: Row = {}
        if fact.data is not None:
            row |= {name: getattr(fact.data, name) for name in fact.data.model_fields_set}
        if not deleted:
            row |= {"occurred_at": fact.occurred_at, "merged_into": None}
        if deleted and fact.merged_into:
            row["merged_into"] = fact.merged_into
        stamp = (fact.version, RANKS[fact.action], fact.event_id)
        said.append((stamp, fact.entity, fact.entity_id, deleted, row))
        if fact.merged_from and fact.merged_from != fact.entity_id:
            stamp = (fact.version, 2, fact.event_id)
            lost = {"merged_into": fact.entity_id}
            said.append((stamp, fact.entity, fact.merged_from, True, lost))
    rows: dict[str, Rows] = defaultdict(dict)
    for stamp, entity, entity_id, deleted, row in sorted(said, key=lambda one: one[0]):
        held = rows[entity].setdefault(entity_id, defaultdict(lambda: None))  # type: ignore[call-overload]  # ids stand alone here
        held |= row
        held |= {"deleted": deleted, "version": stamp[0]}
        if "decision" in row:
            held["decided"] = stamp
    return rows


def _end(rows: Mapping[Any, Row], start: str) -> str:
    path = [start]
    while True:
        row = rows.get(path[-1])
        into = row["merged_into"] if row and row["deleted"] else None
        if into is None or into == path[-1]:
            return path[-1]
        if into in path:
            return str(min(map(int, path[path.index(into) :])))
        path.append(into)


def _moment(activity: Row) -> datetime | None:
    if activity["deleted"] or not activity["done"]:
        return None
    if activity["marked_as_done_time"]:
        return activity["marked_as_done_time"]
    if activity["due_date"]:
        due = datetime.combine(activity["due_date"], time(), UTC)
        return min(due, activity["occurred_at"])
    return activity["occurred_at"]


def _record_id(company_id: int, entity_id: str) -> UUID:
    return (
        uuid5(NAMESPACE_URL, f"{company_id}:org:{entity_id}")
        if entity_id.isdigit()
        else (UUID(entity_id))
    )


def _order(entity_id: str) -> tuple[bool, int]:
    return not entity_id.isdigit(), int(entity_id) if entity_id.isdigit() else 0


def _said(company_id: int, records: Mapping[Any, Row], verdicts: Mapping[Any, Row]) -> list[Said]:
    """Of the records that stand for those named; who merely gave an id is looked up among them."""
    entity_of = {_record_id(company_id, entity_id): entity_id for entity_id in records}

    def heirs(refs: Iterable[UUID]) -> frozenset[UUID]:
        return frozenset(_heir(company_id, records, entity_of, ref) for ref in refs)

    told = {key: row for key, row in verdicts.items() if row["decision"] and not row["withdrawn"]}
    named = {ref for row in told.values() for ref in (*row["left_records"], *row["right_records"])}
    said: list[Said] = []
    for verdict_id, row in told.items():
        same = row["decision"] == "same"
        left, right = heirs(row["left_records"]), heirs(row["right_records"])
        one = frozenset() if same else left & right  # which is not parted from itself
        keeper = frozenset({row["left_id"]} - {None})
        kept = heirs(keeper & named) | (keeper - named)
        said.append(((row["decided"], verdict_id), same, left - one, right - one, kept))
    return said


def _heir(
    company_id: int, records: Mapping[Any, Row], entity_of: Mapping[UUID, str], ref: UUID
) -> UUID:
    return _record_id(company_id, _end(records, entity_of[ref])) if ref in entity_of else ref


def _groups(
    company_id: int, records: Mapping[Any, Row], verdicts: Mapping[Any, Row]
) -> list[tuple[UUID, list[str], list[str]]]:
    """Each organization's id, records, and those that are gone."""
    entity_of = {_record_id(company_id, entity_id): entity_id for entity_id in records}
    living = {ref: records[e] for ref, e in entity_of.items() if not records[e]["deleted"]}
    gone = entity_of.keys() - living.keys()
    found = []
    for refs, claiming, left in sort(living, _said(company_id, records, verdicts), gone):
        lead = min(claiming, key=lambda ref: (_order(entity_of[ref]), ref))
        dead = [entity_of[ref] for ref in left if ref in entity_of]
        found.append((lead, [entity_of[ref] for ref in refs], dead))
    return found


def _add(found: Truth, company_id: int, rows: Mapping[str, Rows]) -> None:
    records: Any = rows["organization"]
    persons: Any = rows["person"]
    home: dict[str, UUID] = {}
    merged: dict[str, UUID] = {}
    by_name: dict[str, set[UUID]] = defaultdict(set)
    verdicts = rows["organization_verdict"]
    called = {ref for row in verdicts.values() for ref in _named_same(row)}
    for organization_id, members, dead in _groups(company_id, records, verdicts):
        merged |= dict.fromkeys(dead, organization_id)
        shown = _shown(records, members)
        number = next((m for m in members if _record_id(company_id, m) == organization_id), "")
        if number.isdigit():
            shown["pipedrive_org_id"] = number
        found.organizations[company_id, organization_id] = shown
        home |= dict.fromkeys(members, organization_id)
        for member in members:
            by_name[names.normalized(records[member]["name"])].add(organization_id)
    for entity_id in records:
        ref = _record_id(company_id, entity_id)
        end = _end(records, entity_id)
        found.leads_to[company_id, ref] = (
            home.get(end)
            or (merged.get(end) if ref in called else None)
            or _namesake(company_id, entity_id, rows, home, by_name)
        )
    for person_id, row in persons.items():
        named = home.get(_end(records, str(row["org_id"]))) if row["org_id"] else None
        if named and not row["deleted"]:
            found.links[company_id, int(person_id)] = named
            found.organizations[company_id, named]["contact_count"] += 1
    for activity in rows["activity"].values():
        _count(found, company_id, activity, home, records, persons)


def _named_same(verdict: Row) -> list[UUID]:
    """The records that a merge names, if it has not been taken back."""
    if verdict["decision"] != "same" or verdict["withdrawn"]:
        return []
    return [*(verdict["left_records"] or ()), *(verdict["right_records"] or ())]


def _namesake(
    company_id: int,
    entity_id: str,
    rows: Mapping[str, Rows],
    home: Mapping[str, UUID],
    by_name: Mapping[str, set[UUID]],
) -> UUID | None:
    """The one organization that has the record's name, unless something parts the two."""
    records: Any = rows["organization"]
    row = records[entity_id]
    name = names.normalized(row["name"])
    named = by_name.get(name, set()) if name else set()
    if len(named) != 1:
        return None
    only = next(iter(named))
    theirs = {member: records[member] for member, of in home.items() if of == only}
    verdicts = rows["organization_verdict"]
    parted = contradict(row, theirs.values()) or _called_apart(
        company_id, entity_id, theirs, records, verdicts
    )
    return None if parted else only


def _called_apart(
    company_id: int,
    entity_id: str,
    theirs: Iterable[str],
    records: Mapping[Any, Row],
    verdicts: Mapping[Any, Row],
) -> bool:
    """Whether a record, or one that was merged into it, was called none of theirs."""
    entity_of = {_record_id(company_id, each): each for each in records}
    ref = _record_id(company_id, entity_id)
    own = {ref, *(r for r in entity_of if _heir(company_id, records, entity_of, r) == ref)}
    members = {_record_id(company_id, member) for member in theirs}
    for (_, verdict_id), left, right in standing(_said(company_id, records, verdicts)):
        row = verdicts[verdict_id]
        if own & {*row["left_records"]} and right & members:
            return True
        if own & {*row["right_records"]} and left & members:
            return True
    return False


def _shown(records: Mapping[str, Row], members: list[str]) -> Row:
    def recency(entity_id: str) -> tuple[bool, int, int, int]:
        row, typed = records[entity_id], not entity_id.isdigit()
        says = sum(bool(row[name]) for name in SHOWN)
        return typed, row["version"], says, -1 if typed else int(entity_id)

    newest = [records[m] for m in sorted(members, key=recency, reverse=True)]
    named = [row for row in newest if row["name"]]
    last = max(members, key=lambda m: (bool(records[m]["name"]), *recency(m)[1:]))
    name = names.normalized(records[last]["name"])
    numbers = [int(m) for m in members if m.isdigit()]
    return {
        **{name: next((r[name] for r in newest if r[name]), None) for name in SHOWN},
        "name": next((r["name"] for r in named if names.normalized(r["name"]) == name), None),
        "pipedrive_org_id": str(min(numbers)) if numbers else None,
        "contact_count": 0,
        "last_activity": None,
    }


def _count(
    found: Truth,
    company_id: int,
    activity: Row,
    home: Mapping[str, UUID],
    records: Any,
    persons: Any,
) -> None:
    moment = _moment(activity)
    if moment is None:
        return
    touched = {home.get(_end(records, str(activity["org_id"])))}
    if activity["person_id"] is not None:
        contact = int(_end(persons, str(activity["person_id"])))
        touched.add(found.links.get((company_id, contact)))
    for organization_id in touched - {None}:
        row = found.organizations[company_id, organization_id]
        row["last_activity"] = max(filter(None, (row["last_activity"], moment)))
