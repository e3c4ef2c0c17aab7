"""Everything about one organization: all names it has had, its records, its history. Reads only.

Rule: everything belongs to the records, so it follows them through merges and back.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.orgs import (
    alias_store,
    answers,
    grouping,
    moments,
    names,
    organization_store,
    record_store,
    snapshot,
)
from services.orgs.alias_store import Alias
from services.orgs.details_answers import (
    AliasAnswer,
    Happening,
    Kind,
    OrganizationDetails,
    SourceAnswer,
)
from services.orgs.effects import OrgKey
from services.orgs.grouping import Record
from services.orgs.judging import verdict_store
from services.orgs.judging.answers import MOST_PARTED, record, text
from services.orgs.judging.verdict_store import Verdict
from services.orgs.organization_store import Organization
from services.orgs.rows import plain
from shared import db

MOST = 200
"""Per list: an organization of thousands of records must still be shown. The list of sources is
as long as what a separation may name.
"""
MOST_NAMED = 20


async def by_id(
    pool: db.Pool, company_id: int, organization_id: UUID
) -> OrganizationDetails | None:
    """The organization that an id leads to, in full."""
    async with snapshot.of(pool) as conn:
        found = await organization_store.by_any_id(conn, company_id, organization_id)
        if found is None:
            return None
        records = await record_store.of_organization(conn, company_id, found.organization_id)
        keys = [each.key for each in records]
        aliases = await alias_store.of_records(conn, keys)
        said = await verdict_store.naming(conn, keys)
    return _details(found, records, aliases, said)


def _details(
    found: Organization,
    records: Sequence[Record],
    aliases: Mapping[OrgKey, Sequence[Alias]],
    said: Sequence[Verdict],
) -> OrganizationDetails:
    past = [alias for held in aliases.values() for alias in held]
    past.sort(key=lambda alias: (alias.last_version, alias.name), reverse=True)
    happened = [*_renamed(records, aliases), *_judged(said), *_merged(records)]
    happened.sort(key=lambda each: each.at, reverse=True)
    shown = answers.organization(found).model_dump()
    return OrganizationDetails(
        **shown,
        aliases=[_alias(alias) for alias in _once(past, names.normalized(found.shown.name))],
        sources=_sources(records)[:MOST_PARTED],
        history=happened[:MOST],
    )


def _once(newest_first: Iterable[Alias], shown: str) -> list[Alias]:
    """Each name once, except the one that is shown."""
    found: dict[UUID, Alias] = {}
    for alias in newest_first:
        if names.normalized(alias.name) != shown:
            found.setdefault(alias.name_key, alias)
    return list(found.values())[:MOST]


def _alias(alias: Alias) -> AliasAnswer:
    return AliasAnswer(
        name=alias.name,
        record_id=plain(alias.record_id),
        since=moments.of_version(alias.first_version),
        last_told=moments.of_version(alias.last_version),
    )


def _sources(records: Sequence[Record]) -> list[SourceAnswer]:
    shown_by: dict[UUID, list[str]] = {}
    for name, record_id in grouping.sources([r for r in records if r.lives]).items():
        shown_by.setdefault(record_id, []).append(name)
    ordered = sorted(records, key=lambda r: (not r.lives, -len(shown_by.get(r.record_id, ()))))
    return [
        SourceAnswer(
            **record(each).model_dump(),
            living=each.lives,
            merged_into=None if each.lives else text(each.register.fields["merged_into"]),
            updated_at=moments.of_version(each.register.stamp.version),
            fields=shown_by.get(each.record_id, []),
        )
        for each in ordered
    ]


def _renamed(
    records: Iterable[Record], aliases: Mapping[OrgKey, Sequence[Alias]]
) -> list[Happening]:
    """Each later name of a record, with the time it was first reported."""
    return [
        Happening(
            kind="renamed",
            at=moments.of_version(alias.first_version),
            record_ids=[plain(alias.record_id)],
            name=alias.name,
        )
        for each in records
        for alias in aliases.get(each.key, ())[1:]
    ]


def _judged(said: Iterable[Verdict]) -> list[Happening]:
    found: list[Happening] = []
    for verdict in said:
        if verdict.field("decision") is None:
            continue
        merged = verdict.field("decision") == "same"
        kind: Kind = "merged" if merged else "separated"
        if verdict.is_about_one:
            kind = "confirmed" if merged else "reused"
        found.append(
            Happening(
                kind=kind,
                at=moments.of_version(verdict.decided.version),
                by=text(verdict.field("decided_by")),
                record_ids=[plain(ref) for ref in verdict.refs[:MOST_NAMED]],
                verdict_id=plain(verdict.verdict_id),
                reason=verdict.field("reason"),
                score=verdict.field("score"),
                matcher_version=verdict.field("matcher_version"),
            )
        )
        if merged and verdict.is_withdrawn:
            found.append(
                Happening(
                    kind="merge_undone",
                    at=moments.of_version(verdict.withdrawn.version),
                    by=text(verdict.field("withdrawn_by")),
                    verdict_id=plain(verdict.verdict_id),
                )
            )
    return found


def _merged(records: Iterable[Record]) -> list[Happening]:
    return [
        Happening(
            kind="merged_in_pipedrive",
            at=moments.of_version(each.register.stamp.version),
            record_ids=[plain(each.record_id)],
            name=each.register.fields["name"],
        )
        for each in records
        if not each.lives
    ]
