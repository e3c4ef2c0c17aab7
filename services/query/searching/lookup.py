"""Finds which slots have what was asked for, at which rank.

Rule 1: the result agrees with `matching` for each contact; `is_exact` is false where a limit left
        something out or in, and then what is shown is still checked row by row.
Rule 2: what is queued is excluded from the index's results, and matched by itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from services.query.batch import User
from services.query.searching import (
    asking,
    bitmaps,
    bits,
    dictionary,
    lookup_store,
    matching,
    members,
    ranking,
    slots,
    terms,
    together,
    words,
)
from services.query.searching.asking import Asked, Token
from services.query.searching.bitmaps import Piece
from services.query.searching.bits import EMPTY, Bits
from services.query.searching.dictionary import MOST_WORDS
from services.query.searching.lookup_store import Most, Pending, Postings, State, Wanted
from services.query.searching.matching import Reach, Wide
from services.query.searching.ranking import Class
from services.query.searching.slots import Slots, Tokens
from services.query.searching.terms import NOBODY, Kind
from services.query.searching.words import Number
from shared.db import Connection

MOST_PENDING: Final = 300
MOST_READ: Final = 2000
"""Contacts scanned where there is no index: twice as many as a user without one has."""
MOST_PENDING_ORGANIZATIONS: Final = 50
MOST_MOVED: Final = 2_000
"""Slots outside their bucket; with more, the buckets say too little about the order."""
MOST_FARTHER: Final = 8
"""Tokens that are searched inside words and as misspellings in the dictionary; further ones, in
the rows of contacts that have all the rest.
"""
MOST_COMPARED: Final = 1000
"""Rows that are checked for these; with more, all may have them."""
MOST_CHECKED: Final = 5000
"""Phone numbers read to check whether they contain a whole fragment."""
YIELD_BAGS: Final = 200

_WORD: Final = "word"
_LONGER: Final = "longer"


class _Part(NamedTuple):
    """A token as a word, in longer words, or some of its digits: what is read together."""

    token: Token
    what: str


_Alike = tuple[Token, int] | str
"""What is read together: words at one level from a token, or a piece of one."""

_ALL: Final = _Part(Token("", None), "all")
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


@dataclass(frozen=True, slots=True)
class Found:
    """Slots by rank, and by token, without those of what is queued."""

    asked: Asked
    classes: Sequence[Class]
    tokens: Tokens
    pending: Sequence[Pending]
    wide: Wide
    is_exact: bool
    state: State

    @property
    def size(self) -> int:
        return self.state.slots

    @property
    def is_settled(self) -> bool:
        """Whether the index is complete: a repeated search of the same contacts gives the same."""
        return not (self.state.contacts or self.state.organizations or self.state.moved)


async def find(
    conn: Connection,
    user: User,
    asked: Asked,
    also: Collection[Token] = (),
    everything: Sequence[Pending] = (),
) -> Found:
    """`also`: tokens that may be misspelt however many have them; `everything`: all contacts, if
    there is no index and they have been read.
    """
    most = Most(MOST_PENDING, MOST_PENDING_ORGANIZATIONS, MOST_MOVED)
    state = await lookup_store.state(conn, user, most)
    search = _Search(conn, user, asked, state or State(), wide=dict.fromkeys(also, Reach.MISSPELT))
    if state is None:
        await search.everything(everything)
    else:
        await search.queued()
    await search.plainly()
    await search.farther()
    await search.check_numbers()
    found = ranking.classes(slots.anyhow(asked.needs, search.slots))
    return Found(
        asked,
        ranking.parted(found, search.names_all, search.addresses_all),
        search.slots,
        search.pending,
        search.wide,
        search.is_exact,
        search.state,
    )


@dataclass(slots=True)
class _Search:
    conn: Connection
    user: User
    asked: Asked
    state: State
    slots: dict[Token, Slots] = field(default_factory=dict)
    doubtful: dict[Token, Bits] = field(default_factory=dict)
    """Slots whose number has a fragment's groups of digits, perhaps not adjacent, and that nothing
    else puts on that level.
    """
    by_number: dict[Token, Bits] = field(default_factory=dict)
    """Slots that have a token in the number, and nowhere else in their own text."""
    names_all: Bits = EMPTY
    addresses_all: Bits = EMPTY
    """Slots with names, and with addresses, of as many words as there are needs."""
    pending: Sequence[Pending] = ()
    bags: Sequence[matching.Bag] = ()
    queued_slots: Bits = EMPTY
    renamed: Sequence[tuple[Bits, frozenset[str]]] = ()
    wide: dict[Token, Reach] = field(default_factory=dict)
    is_exact: bool = True

    async def everything(self, known: Sequence[Pending]) -> None:
        """Read all contacts of a user who has no index, because there are few or it is not
        built yet.
        """
        self.pending = known or await lookup_store.everything(self.conn, self.user, MOST_READ)
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
        """Read what is not indexed yet."""
        contacts, organizations = self.state.contacts, self.state.organizations
        if len(contacts) == MOST_PENDING or len(organizations) == MOST_PENDING_ORGANIZATIONS:
            self.is_exact = False
        self.pending = await lookup_store.pending(self.conn, self.user, contacts)
        queued = [each.slot for each in self.pending if each.slot is not None]
        self.queued_slots = Bits.of(queued, self.state.slots)
        await self._pack()
        named = await lookup_store.pending_organizations(self.conn, self.user, organizations)
        if named:
            having = await members.slots(
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
        wanted |= self._several_wanted()
        found = await lookup_store.postings(self.conn, self.user, wanted)
        for token in tokens:
            self.slots[token] = self._plain_slots(token, found)
            self._correct(token)
        if not self.asked.domains:
            self.names_all = self._joined(found[_ALL, Kind.NAME_WORDS])
        self.addresses_all = self._joined(found[_ALL, Kind.EMAIL_WORDS])

    def _several_wanted(self) -> dict[_Part, list[Wanted]]:
        """Contacts with as many words as were typed."""
        kinds = [Kind.NAME_WORDS, Kind.EMAIL_WORDS][: 1 + self.asked.is_address]
        return {
            _ALL: [Wanted(*terms.several(len(self.asked.needs), kind), kind) for kind in kinds]
        }

    def _plain_slots(self, token: Token, found: Postings[_Part]) -> Slots:
        slots = Slots()
        untyped = 0 if token.is_typed else matching.UNTYPED
        word, longer = _Part(token, _WORD), _Part(token, _LONGER)
        for kind in terms.WORD_KINDS if token.word else ():
            slots.add(_EXACT_LEVEL[kind] + untyped, kind, self._joined(found[word, kind]))
            if len(token.word) > terms.SHORT:
                pieces = found[longer, kind]
            else:
                pieces = found[word, kind + Kind.NAME_PREFIX]
            slots.add(_PREFIX_LEVEL[kind] + untyped, kind, self._joined(pieces))
        if token.domain:
            slots.add(matching.DOMAIN, Kind.DOMAIN, self._joined(found[word, Kind.DOMAIN]))
        if token.number is not None:
            sure, doubtful = self._with_number(token, token.number, found)
            level = matching.NUMBER + untyped
            self.by_number[token] = (sure | doubtful) - ranking.everyone(slots.own)
            self.doubtful[token] = doubtful - sure - slots.own.get(level, EMPTY)
            slots.add(level, Kind.PHONE, sure | doubtful)
        return slots

    def _with_number(
        self, token: Token, number: Number, found: Postings[_Part]
    ) -> tuple[Bits, Bits]:
        """The slots that have a fragment, and those that may."""
        sure = doubtful = EMPTY
        for digits in asking.certain_runs(number):
            groups = [
                self._joined(found[_Part(token, gram), Kind.PHONE]) for gram in terms.grams(digits)
            ]
            having = ranking.shared_by(groups, len(groups))
            if len(digits) == terms.GRAM:
                sure |= having
            else:
                doubtful |= having
        return sure, doubtful

    async def farther(self) -> None:
        """Find tokens that few contacts have plainly inside words and as misspellings."""
        looked = [t for t in await self._widen() if matching.is_partial(t.word)]
        if not looked or not self.state.words:
            return
        # Long ones first: they are the most selective.
        looked.sort(key=lambda token: (-len(token.word), token.word))
        asked = looked[:MOST_FARTHER]
        wanted: dict[_Alike, list[Wanted]] = dict(together.wanted(self._run_together(asked)))
        for token in asked:
            alike = await dictionary.alike(
                self.conn, self.user, token.word, self.state.words, self.wide[token]
            )
            self.is_exact &= alike.is_exact
            for level, alike_words in alike.by_level.items():
                wanted[token, level] = [
                    Wanted(word, Kind.NAME, Kind.ORGANIZATION) for word in alike_words
                ]
        self._add_alike(asked, await lookup_store.postings(self.conn, self.user, wanted))
        for token in asked:
            self._correct(token)
        if len(looked) > MOST_FARTHER:
            await self._compare(looked[MOST_FARTHER:])

    def _add_alike(self, asked: Sequence[Token], found: Postings[_Alike]) -> None:
        pieces: defaultdict[str, dict[int, Bits]] = defaultdict(dict)
        for (alike, kind), stored in found.items():
            slots = self._joined(stored)
            if isinstance(alike, str):
                pieces[alike][kind] = slots
            else:
                token, level = alike
                elsewhere = 0 if kind == Kind.NAME else matching.ELSEWHERE
                self.slots[token].add(level + elsewhere, kind, slots)
        by_word = self._run_together(asked)
        for each in together.found(by_word, pieces):
            by_word[each.word].add(each.level, each.kind, each.slots)

    def _run_together(self, asked: Iterable[Token]) -> dict[str, Slots]:
        """Words that may be joined ones."""
        return {t.word: self.slots[t] for t in asked if self.wide[t] >= Reach.INSIDE}

    async def _widen(self) -> Wide:
        for token in self.asked.tokens:
            if token.word and token.is_typed:
                reach = matching.reach(self._having(token))
                if reach is not None:
                    self.wide[token] = reach
            await asyncio.sleep(0)
        return self.wide

    async def _compare(self, tokens: Collection[Token]) -> None:
        """Check these tokens in the rows of contacts that have all the rest."""
        candidates = self._hits_with(tokens)
        if candidates.count() > MOST_COMPARED:
            self.is_exact = False
            for token in tokens:
                self.slots[token].add(matching.FAR, Kind.NAME, candidates)
            return
        compared = candidates.numbers()
        found: defaultdict[tuple[Token, int, Kind], list[int]] = defaultdict(list)
        for slot, document, name in await lookup_store.documents(self.conn, self.user, compared):
            sides = (
                (Kind.NAME, matching.bag(document, None)),
                (Kind.ORGANIZATION, matching.bag(NOBODY, name)),
            )
            for token in tokens:
                for kind, bag in sides:
                    level = matching.level(token, bag, self.wide)
                    if level is not None:
                        found[token, level, kind].append(slot)
            await asyncio.sleep(0)
        for (token, level, kind), having in found.items():
            self.slots[token].add(level, kind, Bits.of(having, self.state.slots))

    def _hits_with(self, tokens: Collection[Token]) -> Bits:
        """Slots that are hits if they have these tokens."""
        hits = every = Bits.below(self.state.slots)
        for need in self.asked.needs:
            meeting = EMPTY
            for way in need:
                having = every
                for token in way:
                    if token not in tokens:
                        having &= ranking.everyone(self.slots[token].levels())
                meeting |= having
            hits &= meeting
        return hits

    async def check_numbers(self) -> None:
        """Check numbers that may contain a fragment, going by groups of digits."""
        for token, doubtful in self.doubtful.items():
            own = self.slots[token].own
            level = matching.NUMBER + (0 if token.is_typed else matching.UNTYPED)
            looked_at = doubtful & own[level] & self._hits_with([token])
            if token.number is None or not looked_at:
                continue
            if looked_at.count() > MOST_CHECKED:
                self.is_exact = False
                continue
            phones = await lookup_store.phones(self.conn, self.user, looked_at.numbers())
            having = [
                slot
                for slot, phone in phones
                if words.has_fragment(words.number(phone), token.number)
            ]
            # `having` is a subset of `looked_at`, and that of `own`.
            own[level] -= doubtful - Bits.of(having, self.state.slots)

    def _having(self, token: Token) -> int:
        """How many have it as a word, if not enough; a number may be inside an address, too."""
        slots = self.slots[token]
        own = ranking.everyone(slots.own) - self.by_number.get(token, EMPTY)
        found = (own | ranking.everyone(slots.by_organization)).count()
        queued = (bag for bag in self.bags if matching.as_word(token.word, bag) is not None)
        return found + sum(1 for _ in islice(queued, max(0, matching.ENOUGH - found)))

    def _correct(self, token: Token) -> None:
        """Exclude what is queued; use organizations' present names."""
        slots = self.slots[token]
        if self.renamed:
            renamed = bits.union(each for each, _ in self.renamed)
            for level in slots.by_organization:
                slots.by_organization[level] -= renamed
            for each, names in self.renamed:
                bag = matching.Bag((), (), names, words.number(None))
                found = matching.level(token, bag, self.wide)
                if found is not None:
                    slots.add(found, Kind.ORGANIZATION, each)
        slots.drop(self.queued_slots)

    def _joined(self, pieces: Collection[Piece]) -> Bits:
        return bitmaps.joined(pieces, self.state.slots)


def _plainly_wanted(token: Token, longer: Iterable[str]) -> dict[_Part, list[Wanted]]:
    wanted: dict[_Part, list[Wanted]] = {}
    word = token.word
    if word:
        last = Kind.ORGANIZATION if len(word) > terms.SHORT else Kind.ORGANIZATION_PREFIX
        wanted[_Part(token, _WORD)] = [Wanted(word, Kind.NAME, last)]
        wanted[_Part(token, _LONGER)] = [
            Wanted(each, Kind.NAME, Kind.ORGANIZATION) for each in longer
        ]
    if token.domain:
        wanted[_Part(token, _WORD)] = [Wanted(token.domain, Kind.DOMAIN, Kind.DOMAIN)]
    for digits in asking.certain_runs(token.number):
        for gram in terms.grams(digits):
            wanted[_Part(token, gram)] = [Wanted(gram, Kind.PHONE, Kind.PHONE)]
    return wanted
