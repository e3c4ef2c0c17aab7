"""Loads all records that a change can unite or separate: a block, closed under what links records.

Rule 1: from the changed records, before and after, everything is followed that could link living
        records: names, corroborated core keys, similarity within a crowd, verdicts. Whether a link
        holds is not decided here.
Rule 2: where a crowd becomes too large to mean anything, or small enough, all of it is loaded.
Rule 3: dead records of a name are included, as their ids lead to whoever has it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from uuid import UUID

from services.orgs import meeting_store, merge_store, names, record_store
from services.orgs.effects import OrgKey
from services.orgs.folding import Key
from services.orgs.grouping import Record
from services.orgs.judging import verdict_store
from services.orgs.matching import meeting, statement
from services.orgs.matching.statement import Statement
from shared import db, ids

Crowd = tuple[int, meeting.Key]


@dataclass(frozen=True, slots=True)
class Block:
    """`before` are the block's stored records, `after` the whole block with the changes."""

    before: Mapping[OrgKey, Record]
    after: Mapping[OrgKey, Record]
    said: Mapping[int, list[Statement]]
    crowded: Collection[Crowd]


async def block(
    conn: db.Connection,
    stored: Mapping[OrgKey, Record],
    changed: Mapping[OrgKey, Record],
    others: Collection[OrgKey] = (),
) -> Block:
    """`changed` are the new versions, `stored` the old; `others` may also have moved."""
    closing = _Closing(conn, dict(stored), changed)
    return await closing.run(others)


@dataclass(slots=True)
class _Closing:
    conn: db.Connection
    stored: dict[OrgKey, Record]
    changed: Mapping[OrgKey, Record]
    view: dict[OrgKey, Record] = field(default_factory=dict)
    inside: set[OrgKey] = field(default_factory=set)
    looked: set[object] = field(default_factory=set)
    crowded: set[Crowd] = field(default_factory=set)
    overturned: set[Crowd] = field(default_factory=set)
    verdicts: dict[OrgKey, tuple[int, Statement]] = field(default_factory=dict)
    heirs: dict[int, dict[UUID, UUID]] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    async def run(self, others: Collection[OrgKey]) -> Block:
        self.view = {**self.stored, **self.changed}
        await self._load(others)
        companies = {key[0] for key in (*self.changed, *others)}
        self.silent = companies - await verdict_store.spoken_of_in(self.conn, companies)
        self.inside = {*self.changed, *(key for key in others if key in self.view)}
        frontier = [r for k in self.inside for r in (self.stored.get(k), self.view[k]) if r]
        while frontier:
            reached = await self._reached(frontier)
            reached -= self.inside
            self.inside |= reached
            frontier = [self.view[key] for key in reached]
        return Block(
            {key: self.stored[key] for key in self.inside if key in self.stored},
            {key: self.view[key] for key in self.inside},
            self._said(),
            self.crowded,
        )

    def _said(self) -> dict[int, list[Statement]]:
        found: dict[int, list[Statement]] = {}
        for company_id, each in self.verdicts.values():
            found.setdefault(company_id, []).append(each)
        return {
            company_id: statement.resolved(said, self.heirs.get(company_id, {}))
            for company_id, said in found.items()
        }

    async def _reached(self, frontier: list[Record]) -> set[OrgKey]:
        reached = await self._spoken_of(frontier)
        frontier = [record for record in frontier if record.lives]
        await self._look_up_names(frontier)
        await self._look_up_borne_out(frontier)
        await self._look_up_crowds(frontier)
        return reached | _Meeting(self.view.values(), self.crowded, self.overturned).of(frontier)

    async def _load(self, keys: Iterable[OrgKey]) -> None:
        missing = {key for key in keys if key not in self.view}
        if missing:
            self._add((await record_store.load(self.conn, missing)).values())

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.stored.setdefault(record.key, record)
            self.view.setdefault(record.key, record)

    def _unlooked(self, keys: Iterable[object]) -> set[object]:
        found = set(keys) - self.looked
        self.looked |= found
        return found

    async def _look_up_names(self, frontier: Iterable[Record]) -> None:
        keys = {(r.company_id, r.name_key) for r in frontier if r.name_key is not None}
        found = keys & self._unlooked(keys)
        self._add(await meeting_store.block(self.conn, found))

    async def _look_up_borne_out(self, frontier: Iterable[Record]) -> None:
        keys = {
            (r.company_id, core, r.profile.domain, r.profile.postcode)
            for r in frontier
            if meeting.borne_out(r.profile)
            and (core := names.core_id(r.company_id, r.profile.name.core)) is not None
        }
        found = keys & self._unlooked(keys)
        self._add(await meeting_store.borne_out(self.conn, found))

    async def _look_up_crowds(self, frontier: Iterable[Record]) -> None:
        keys = {(r.company_id, key) for r in frontier for key in meeting.crowds(r.profile)}
        limit = meeting.CROWD + 1 + len(self.changed)
        met = await meeting_store.crowds(self.conn, keys & self._unlooked(keys), limit)
        for records in met.values():
            self._add(records if len(records) < limit else ())
        after = _crowds(self.view.values())
        for crowd, records in met.items():
            was = len(records) > meeting.CROWD
            now = len(records) == limit or len(after.get(crowd, ())) > meeting.CROWD
            if now:
                self.crowded.add(crowd)
            if was != now:
                self.overturned.add(crowd)

    async def _spoken_of(self, frontier: Iterable[Record]) -> set[OrgKey]:
        """All records in the same verdicts as these, and those they became."""
        heard = {r.key: r for r in frontier if r.company_id not in self.silent}
        unsaved = {
            (record.company_id, record.pipedrive_org_id)
            for key, record in heard.items()
            if key not in self.stored and record.pipedrive_org_id is not None
        }
        said = await verdict_store.naming(self.conn, heard.keys(), unsaved)
        unheard = [v for v in said if v.key not in self.verdicts and v.statement is not None]
        named = {(v.company_id, ref) for v in unheard for ref in v.refs}
        for verdict in unheard:
            if verdict.statement is not None:
                self.verdicts[verdict.key] = verdict.company_id, verdict.statement
        await self._load(named)
        gone = {key: r for key in named if (r := self.view.get(key)) is not None and not r.lives}
        numbers: dict[Key, OrgKey] = {
            (key[0], r.pipedrive_org_id): key
            for key, r in gone.items()
            if r.pipedrive_org_id is not None
        }
        roots = await merge_store.roots(self.conn, "organization", numbers.keys())
        heirs = {numbers[k]: (k[0], ids.organization(k[0], root)) for k, root in roots.items()}
        for (company_id, ref), (_, heir) in heirs.items():
            self.heirs.setdefault(company_id, {})[ref] = heir
        await self._load(heirs.values())
        return {key for key in (*named, *heirs.values()) if key in self.view}


class Parts:
    """A block, split into parts that cannot be united with one another. Having been called
    distinct does not connect records: else all that years of answers mention would hang together.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._meeting = _Meeting(block.after.values(), block.crowded, ())
        self._named: dict[OrgKey, list[frozenset[OrgKey]]] = {}
        for company_id, said in block.said.items():
            for each in filter(attrgetter("same"), said):
                keys = ((company_id, ref) for ref in each.refs)
                named = frozenset(key for key in keys if key in block.after)
                for key in named:
                    self._named.setdefault(key, []).append(named)

    def around(self, keys: Iterable[OrgKey]) -> Block:
        """All that some of its records can be united with, as a block."""
        inside = set(keys) & self._block.after.keys()
        frontier = set(inside)
        while frontier:
            reached = self._meeting.of([self._block.after[key] for key in frontier])
            reached.update(*{named for key in frontier for named in self._named.get(key, ())})
            frontier = reached - inside
            inside |= frontier
        after = {key: self._block.after[key] for key in inside}
        return replace(self._block, after=after)


def _crowds(records: Iterable[Record]) -> dict[Crowd, list[Record]]:
    found: dict[Crowd, list[Record]] = {}
    for record in records:
        if record.lives:
            for key in meeting.crowds(record.profile):
                found.setdefault((record.company_id, key), []).append(record)
    return found


class _Meeting:
    """Which of the records in sight share keys."""

    def __init__(
        self, view: Collection[Record], crowded: Collection[Crowd], overturned: Collection[Crowd]
    ) -> None:
        self._crowded = crowded
        self._overturned = overturned
        self._crowds = _crowds(view)
        self._names: dict[tuple[int, UUID], list[OrgKey]] = {}
        self._borne_out: dict[Crowd, list[OrgKey]] = {}
        for record in view:
            if record.name_key is not None:
                place = (record.company_id, record.name_key)
                self._names.setdefault(place, []).append(record.key)
            if record.lives:
                for key in meeting.borne_out(record.profile):
                    self._borne_out.setdefault((record.company_id, key), []).append(record.key)

    def of(self, frontier: Collection[Record]) -> set[OrgKey]:
        """Each key is looked up once, however many of the frontier have it."""
        named = {(r.company_id, r.name_key) for r in frontier if r.name_key is not None}
        borne_out = {(r.company_id, k) for r in frontier for k in meeting.borne_out(r.profile)}
        crowds = _crowds(frontier)
        return set().union(
            *(self._names.get(each, ()) for each in named),
            *(self._borne_out.get(each, ()) for each in borne_out),
            *(self._alike(records, crowd) for crowd, records in crowds.items()),
        )

    def _alike(self, records: Iterable[Record], crowd: Crowd) -> Iterable[OrgKey]:
        others = self._crowds.get(crowd, ())
        if crowd in self._overturned:
            return [other.key for other in others]
        if crowd in self._crowded:
            return ()
        return [
            other.key
            for record in records
            for other in others
            if meeting.likeness(record.profile, other.profile) is not None
        ]
