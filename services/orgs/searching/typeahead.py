"""Autocomplete over the company's own store.

Rule 1: an organization has the name that it shows and those of all its records.
Rule 2: names that begin with what was typed come first, then those whose words begin with its
        words, in any order; then those that contain them, for several words only if nothing began
        with them; then, if nothing was found, those whose words were typed as one; misspelt ones
        come last, and only if hardly anything matched as typed. Equals go by number of contacts.
Rule 3: each step reads a bounded number of rows, and is skipped if earlier ones found enough.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from services.orgs.effects import OrgKey
from services.orgs.organization_store import Loaded, Organization
from services.orgs.searching import index as searching_index
from services.orgs.searching import store as searching_store
from services.orgs.searching import terms as searching_terms
from services.orgs.searching.index import Name
from services.orgs.searching.store import Found, Pools, Wanted
from shared import db

MISSPELT = 4
"""The `Found.closeness` of a name in which something nearly matches."""
FEW = 3
"""With fewer hits than this, what was typed may have been misspelt."""
SIMILAR = 50
MISSPELT_TERMS = 3
"""Of several misspelt terms, the rarest ones are looked up, each separately."""
NEAR_WORDS = 40


class _Search(NamedTuple):
    pools: Pools
    company_id: int
    terms: Sequence[str]
    limit: int


async def ours(pools: Pools, company_id: int, terms: Sequence[str], limit: int) -> list[Found]:
    """The company's best `limit` organizations; `terms` are those of a query, at least one.

    Raises:
        Unavailable: Postgres is away.
    """
    search = _Search(pools, company_id, terms, limit)
    with db.errors():
        found = await _as_typed(search)
        if not found or (len(terms) == 1 and len(found) < limit):
            found = _joined(found, await _inside(search))
        if not found:
            found = await _run_together(search)
        if len(found) < min(limit, FEW):
            found = _joined(found, await _misspelt(search))
    return found[:limit]


async def keep(
    conn: db.Connection,
    changed: Collection[Organization],
    loaded: Mapping[OrgKey, Loaded],
    called: Mapping[OrgKey, Collection[str]],
) -> None:
    """Update changed organizations in the index, under the names of all their records. Their
    tenants are locked.
    """
    renamed: list[Name] = []
    recounted: list[Name] = []
    before: list[OrgKey] = []
    known = await searching_index.aliases(conn, called.keys())
    now = {(each.company_id, each.organization_id): each for each in changed}
    held = {key: row for key in called.keys() - now.keys() if (row := loaded[key].row) is not None}
    for key, each in (now | held).items():
        row = loaded[key].row
        old = _findable(row)
        name = Name(*key, _findable(each), each.contact_count, called.get(key, ()))
        has_other_aliases = key in called and name.aliases() != known.get(key, frozenset())
        if name.name != old or has_other_aliases:
            renamed.append(name)
            before += [key] if old is not None else []
        elif row is not None and _moves(row.contact_count, each.contact_count):
            recounted.append(name)
    if renamed:
        await searching_index.keep(conn, renamed, before=before)
    await searching_index.rerank(conn, recounted)


def _findable(organization: Organization | None) -> str | None:
    if organization is None or organization.deleted:
        return None
    return organization.shown.name


def _moves(before: int, after: int) -> bool:
    return searching_terms.popularity(before) != searching_terms.popularity(after)


async def _as_typed(search: _Search) -> list[Found]:
    """Every term begins a word of the name."""
    pools, company_id = search.pools, search.company_id
    wanted = _wanted(search, [f"% {term}%" for term in search.terms])
    terms = sorted(set(search.terms))
    counts = await searching_store.how_common(pools, company_id, terms)
    by_count = sorted(zip(counts, terms, strict=True))
    fewest, rarest = by_count[0]
    if fewest == 0:
        return []
    if fewest <= searching_store.RARE:
        return await searching_store.of_rare_word(pools, company_id, wanted, rarest)
    if len(terms) == 1:
        return await searching_store.of_common_word(pools, company_id, wanted)
    two = [term for _, term in by_count[:2]]
    return await searching_store.of_common_words(pools, company_id, wanted, two)


async def _inside(search: _Search) -> list[Found]:
    """Every term is contained in a word of the name; those too short for that begin one."""
    longest = max(search.terms, key=len)
    words = await searching_store.words_with(search.pools, search.company_id, longest)
    if not words:
        return []
    short = searching_terms.SHORTEST_INSIDE
    patterns = [f"%{t}%" if len(t) >= short else f"% {t}%" for t in search.terms]
    wanted = _wanted(search, patterns)
    return await searching_store.of_words(search.pools, search.company_id, wanted, words)


async def _run_together(search: _Search) -> list[Found]:
    """Adjacent words of the name were typed as one: cocacola, 7eleven."""
    beginnings = searching_terms.run_together(max(search.terms, key=len))
    if not beginnings:
        return []
    wanted = _wanted(search, [f" {' ?'.join(term)}" for term in search.terms])
    return await searching_store.of_near_words(search.pools, search.company_id, wanted, beginnings)


async def _misspelt(search: _Search) -> list[Found]:
    """Some terms are nearly words of the name; the others are contained in it."""
    terms = sorted(set(search.terms), key=len, reverse=True)
    words = await searching_store.words_near(search.pools, search.company_id, terms)
    meant = {
        term: dict(islice(searching_terms.meant(term, near).items(), NEAR_WORDS))
        for term, near in zip(terms, words, strict=True)
    }
    patterns = ["|".join([term, *(f" {word}" for word in near)]) for term, near in meant.items()]
    wanted = _wanted(search, patterns)._replace(limit=SIMILAR)
    found: list[Found] = []
    for near in await _rarest(search, [near for near in meant.values() if near]):
        more = await searching_store.of_near_words(search.pools, search.company_id, wanted, near)
        found = _joined(found, _by_mistakes(more, near))
        if len(found) >= search.limit:
            break
    return [each._replace(closeness=MISSPELT) for each in found]


async def _rarest(
    search: _Search, meant: Sequence[Mapping[str, int]]
) -> Sequence[Mapping[str, int]]:
    """Sets of words, those that fewest names have first: a name has some of each. Common words can
    only be examined in part, so they are used only if the query has no others.
    """
    if len(meant) <= 1:
        return meant
    words = sorted({word for near in meant for word in near})
    counts = await searching_store.how_often(search.pools, search.company_id, words)
    names = dict(zip(words, counts, strict=True))
    by_names = [(sum(names[word] for word in near), near) for near in meant]
    by_names.sort(key=itemgetter(0))
    rare = [near for count, near in by_names if count <= searching_store.RARE]
    return rare[:MISSPELT_TERMS] or [by_names[0][1]]


def _by_mistakes(found: Sequence[Found], near: Mapping[str, int]) -> list[Found]:
    def fewest(each: Found) -> int:
        words = searching_terms.of_name(each.alias or each.name)
        return min((near[word] for word in words if word in near), default=MISSPELT)

    return sorted(found, key=fewest)


def _wanted(search: _Search, patterns: Sequence[str]) -> Wanted:
    words = [f"% {term}%" for term in search.terms]
    return Wanted(searching_terms.folded(search.terms), words, patterns, search.limit)


def _joined(first: list[Found], more: Sequence[Found]) -> list[Found]:
    known: set[UUID] = {each.organization_id for each in first}
    return first + [each for each in more if each.organization_id not in known]
