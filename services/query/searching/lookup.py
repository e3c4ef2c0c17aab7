"""Finds which slots have what was asked for, at which rank.

Rule 1: what it finds is what `matching` says of each contact; `is_exact` is false where a bound
        left something out or in, and then what is shown is still checked row by row.
Rule 2: what is queued is left out of what the index says, and matched by itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from services.query.batch import User
from services.query.searching import bitmaps, lookup_store, matching, ranking, terms, words
from services.query.searching.asking import Asked, Token
from services.query.searching.bitmaps import Piece
from services.query.searching.lookup_store import Most, Pending, Postings, State, Wanted
from services.query.searching.terms import Kind
from shared.db import Connection

MOST_PENDING: Final = 300
MOST_READ: Final = 2000
"""Contacts looked at where there is no index: twice as many as a user without one has."""
MOST_PENDING_ORGANIZATIONS: Final = 50
MOST_MOVED: Final = 2_000
"""Slots outside their bucket; beyond, the buckets say too little of the order."""
MOST_WORDS: Final = 1000
"""Words of the dictionary that one token may stand for."""
MOST_CANDIDATES: Final = 4000
MOST_CHECKED: Final = 5000
"""Phone numbers read to see whether they have a fragment as a whole."""
YIELD_BAGS: Final = 200

_WORD: Final = "word"
_LONGER: Final = "longer"


class _Part(NamedTuple):
    """A token as a word, in longer words, or some digits of it: what is read together."""

    token: Token
    what: str


_EXACT_LEVEL: Final = {
    Kind.NAME: matching.NAME_WORD,
    Kind.EMAIL: matching.OTHER_WORD,
    Kind.ORGANIZATION: matching.OTHER_WORD,
}
_PREFIX_LEVEL: Final = {
    Kind.NAME: matching.NAME_BEGINS,
    Kind.EMAIL: matching.OTHER_BEGINS,
    Kind.ORGANIZATION: matching.OTHER_BEGINS,
}


@dataclass(slots=True)
class Slots:
    """The slots that have one token, by level; apart, those that have it by their organization's
    name.
    """

    own: dict[int, int] = field(default_factory=dict)
    by_organization: dict[int, int] = field(default_factory=dict)

    def add(self, level: int, kind: int, slots: int) -> None:
        side = self.by_organization if kind == Kind.ORGANIZATION else self.own
        side[level] = side.get(level, 0) | slots

    def levels(self) -> dict[int, int]:
        found = dict(self.own)
        for level, slots in self.by_organization.items():
            found[level] = found.get(level, 0) | slots
        return found

    def keep(self, slots: int) -> None:
        for side in (self.own, self.by_organization):
            for level in side:
                side[level] &= slots


@dataclass(frozen=True, slots=True)
class Found:
    """Slots by rank, without those of what is queued; `tokens` are the slots of each token by
    level, by its own text and by its organization's name.
    """

    classes: Sequence[ranking.Class]
    tokens: Sequence[Slots]
    pending: Sequence[Pending]
    wide: frozenset[Token]
    is_exact: bool
    state: State

    @property
    def size(self) -> int:
        return self.state.slots

    @property
    def is_settled(self) -> bool:
        """Whether the index knows all: what it says of the same contacts stays the same."""
        return not (self.state.contacts or self.state.organizations or self.state.moved)

    @property
    def slots(self) -> int:
        found = 0
        for each in self.classes:
            found |= each.slots
        return found


async def find(conn: Connection, user: User, asked: Asked) -> Found:
    most = Most(MOST_PENDING, MOST_PENDING_ORGANIZATIONS, MOST_MOVED)
    state = await lookup_store.state(conn, user, most)
    search = _Search(conn, user, asked, state or State())
    if state is None:
        await search.everything()
    else:
        await search.queued()
    await search.plainly()
    await search.farther()
    await search.check_numbers()
    classes = ranking.classes([search.slots[token].levels() for token in asked.tokens])
    return Found(
        classes,
        [search.slots[token] for token in asked.tokens],
        search.pending,
        frozenset(search.wide),
        search.is_exact,
        search.state,
    )


async def members(
    conn: Connection, user: User, organizations: Sequence[UUID], size: int
) -> dict[UUID, int]:
    """The slots of each organization's contacts."""
    kind = Kind.MEMBER
    wanted = {each: [Wanted(terms.member(each)[0], kind, kind)] for each in organizations}
    found = await lookup_store.postings(conn, user, wanted)
    return {each: bitmaps.joined(found[each, kind], size) for each in organizations}


@dataclass(slots=True)
class _Search:
    conn: Connection
    user: User
    asked: Asked
    state: State
    slots: dict[Token, Slots] = field(default_factory=dict)
    pending: Sequence[Pending] = ()
    bags: Sequence[matching.Bag] = ()
    renamed: Sequence[tuple[int, frozenset[str]]] = ()
    wide: set[Token] = field(default_factory=set)
    is_exact: bool = True

    async def everything(self) -> None:
        """Read all contacts of a user who has no index, because there are few or not yet."""
        self.pending = await lookup_store.everything(self.conn, self.user, MOST_READ)
        self.is_exact = len(self.pending) < MOST_READ
        await self._pack()

    async def _pack(self) -> None:
        bags: list[matching.Bag] = []
        for number, each in enumerate(self.pending):
            if each.document is not None:
                bags.append(matching.bag(each.document, each.organization_name))
            if number % YIELD_BAGS == YIELD_BAGS - 1:
                await asyncio.sleep(0)
        self.bags = bags

    async def queued(self) -> None:
        """Read what the index does not know yet."""
        contacts, organizations = self.state.contacts, self.state.organizations
        if len(contacts) == MOST_PENDING or len(organizations) == MOST_PENDING_ORGANIZATIONS:
            self.is_exact = False
        self.pending = await lookup_store.pending(self.conn, self.user, contacts)
        await self._pack()
        named = await lookup_store.pending_organizations(self.conn, self.user, organizations)
        if named:
            having = await members(
                self.conn, self.user, [each for each, _ in named], self.state.slots
            )
            self.renamed = [(having[each], frozenset(words.of_name(name))) for each, name in named]

    async def plainly(self) -> None:
        """Find each token as a word, as the beginning of one, and in phone numbers."""
        tokens = self.asked.tokens
        beginnings = [t.word for t in tokens if len(t.word) > terms.SHORT]
        longer: defaultdict[str, list[str]] = defaultdict(list)
        if beginnings:
            for start, word in await lookup_store.beginning(
                self.conn, self.user, beginnings, MOST_WORDS
            ):
                longer[start].append(word)
        self.is_exact &= all(len(found) < MOST_WORDS for found in longer.values())
        wanted: dict[_Part, list[Wanted]] = {}
        for token in tokens:
            wanted |= _plainly_wanted(token, longer[token.word])
        found = await lookup_store.postings(self.conn, self.user, wanted)
        for token in tokens:
            self.slots[token] = self._plain_slots(token, found)
            self._correct(token)

    def _plain_slots(self, token: Token, found: Postings[_Part]) -> Slots:
        slots = Slots()
        word, longer = _Part(token, _WORD), _Part(token, _LONGER)
        for kind in terms.WORD_KINDS if token.word else ():
            slots.add(_EXACT_LEVEL[kind], kind, self._joined(found[word, kind]))
            if len(token.word) > terms.SHORT:
                pieces = found[longer, kind]
            else:
                pieces = found[word, kind + Kind.NAME_PREFIX]
            slots.add(_PREFIX_LEVEL[kind], kind, self._joined(pieces))
        if token.digits:
            groups = [
                self._joined(found[_Part(token, gram), Kind.PHONE])
                for gram in _number_grams(token)
            ]
            slots.add(matching.NUMBER, Kind.PHONE, ranking.shared_by(groups, len(groups)))
        return slots

    async def farther(self) -> None:
        """Find inside words and misspelt what few contacts have plainly."""
        self.wide = {t for t in self.asked.tokens if t.word and not self._is_enough(t)}
        looked = [t for t in self.wide if matching.is_partial(t.word)]
        if not looked or not self.state.words:
            return
        wanted: defaultdict[tuple[Token, int], list[Wanted]] = defaultdict(list)
        for token in looked:
            for word, level in (await self._alike(token.word)).items():
                wanted[token, level].append(Wanted(word, Kind.NAME, Kind.ORGANIZATION))
        found = await lookup_store.postings(self.conn, self.user, wanted)
        for ((token, level), kind), pieces in found.items():
            self.slots[token].add(level, kind, self._joined(pieces))
        for token in looked:
            self._correct(token)

    async def _alike(self, asked: str) -> dict[str, int]:
        """Words that have the asked inside, or are a misspelling of it, with their level."""
        groups = sorted(terms.padded_grams(asked) | terms.grams(asked))
        lengths = matching.lengths(asked)
        wanted = {group: [Wanted(group, Kind.LETTERS, Kind.LETTERS)] for group in groups}
        for edits, of_edits in lengths.items():
            wanted[_length(edits)] = [
                Wanted(str(letters), Kind.LENGTH, Kind.LENGTH) for letters in of_edits
            ]
        found = await lookup_store.postings(self.conn, self.user, wanted)
        size = self.state.words
        by_group = {g: bitmaps.joined(found[g, Kind.LETTERS], size) for g in groups}
        inner = sorted(terms.grams(asked))
        candidates = ranking.shared_by([by_group[g] for g in inner], len(inner))
        padded = [by_group[g] for g in sorted(terms.padded_grams(asked))]
        for edits in lengths:
            long_enough = bitmaps.joined(found[_length(edits), Kind.LENGTH], size)
            least = matching.least_shared(asked, edits)
            near = ranking.shared_by(padded, least) & long_enough
            while near.bit_count() > MOST_CANDIDATES:
                self.is_exact = False
                least += 1
                near &= ranking.shared_by(padded, least)
            candidates |= near
        return await self._checked_words(asked, bitmaps.slots(candidates))

    async def _checked_words(self, asked: str, candidates: Sequence[int]) -> dict[str, int]:
        if len(candidates) > MOST_CANDIDATES:
            self.is_exact = False
            candidates = candidates[:MOST_CANDIDATES]
        levels: dict[str, int] = {}
        for word in await lookup_store.words(self.conn, self.user, candidates):
            level = matching.word_level(asked, word)
            if level is not None and not word.startswith(asked):
                levels[word] = level
        if len(levels) > MOST_WORDS:
            self.is_exact = False
            levels = dict(list(levels.items())[:MOST_WORDS])
        return levels

    async def check_numbers(self) -> None:
        """Letter groups say that a number may have a fragment; see whether it has."""
        for token in self.asked.tokens:
            loose = self.slots[token].own.get(matching.NUMBER, 0)
            if len(token.digits) <= terms.GRAM or not loose:
                continue
            for other in self.asked.tokens:
                if other is not token:
                    loose &= ranking.everyone(self.slots[other].levels())
            if loose.bit_count() > MOST_CHECKED:
                self.is_exact = False
                continue
            has = [
                slot
                for slot, phone in await lookup_store.phones(
                    self.conn, self.user, bitmaps.slots(loose)
                )
                if words.has_fragment(words.digits(phone), token.digits)
            ]
            self.slots[token].own[matching.NUMBER] = bitmaps.of_slots(has, self.state.slots)

    def _is_enough(self, token: Token) -> bool:
        indexed = ranking.everyone(self.slots[token].levels()).bit_count()
        queued = sum(matching.plain_level(token, bag) is not None for bag in self.bags)
        return indexed + queued >= matching.ENOUGH

    def _correct(self, token: Token) -> None:
        """Leave out what is queued; take organizations at their names of today."""
        slots = self.slots[token]
        every = (1 << self.state.slots) - 1
        if self.renamed:
            members = 0
            for each, _ in self.renamed:
                members |= each
            for level in slots.by_organization:
                slots.by_organization[level] &= ~members
            for each, names in self.renamed:
                bag = matching.Bag((), names, "")
                found = matching.level(token, bag, wide=token in self.wide)
                if found is not None:
                    slots.add(found, Kind.ORGANIZATION, each)
        queued = [each.slot for each in self.pending if each.slot is not None]
        slots.keep(every & ~bitmaps.of_slots(queued, self.state.slots))

    def _joined(self, pieces: Collection[Piece]) -> int:
        return bitmaps.joined(pieces, self.state.slots)


def _length(edits: int) -> str:
    """No letters have this name."""
    return f"{edits} edits"


def _plainly_wanted(token: Token, longer: Iterable[str]) -> dict[_Part, list[Wanted]]:
    wanted: dict[_Part, list[Wanted]] = {}
    word = token.word
    if word:
        last = Kind.ORGANIZATION if len(word) > terms.SHORT else Kind.ORGANIZATION_PREFIX
        wanted[_Part(token, _WORD)] = [Wanted(word, Kind.NAME, last)]
        wanted[_Part(token, _LONGER)] = [
            Wanted(each, Kind.NAME, Kind.ORGANIZATION) for each in longer
        ]
    if token.digits:
        for gram in _number_grams(token):
            wanted[_Part(token, gram)] = [Wanted(gram, Kind.PHONE, Kind.PHONE)]
    return wanted


def _number_grams(token: Token) -> list[str]:
    """What a stored number has for certain that has the fragment; its country's code may lack."""
    digits = token.digits
    code = min(words.CODE, max(0, len(digits) - words.LEAST_NUMBER))
    return sorted(terms.grams(digits[code:]))
