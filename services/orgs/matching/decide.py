"""The decision table: an arriving record, its candidates and people's verdicts → Decision. Pure.

The first rule that fires decides:
  a  the same Pipedrive id is the same record. It stays where its companions still match it or a
     verdict holds it; else it leaves them for where it now belongs. Alone, it keeps its
     organization unless it now matches another.
  b  core key and legal form equal, and a domain, a phone or a postcode with city equal: link.
  c  normalized name equal, one organization has it, nothing contradicts: link.
  d  score over the automatic threshold, no veto, evidence beside the name, no second one as near.
  e  score over the review threshold, the same domain under another name, a former name, or any
     contradiction under the same key: create apart, and ask.
  f  else create.
Above it: people's verdicts. "Not the same" closes an organization, so that no third record joins
the two; "the same" links, but never into a closed organization. Both together are asked.
Candidates must hold all records of the organizations they name, at least all with the same key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from services.orgs.matching import reasons, weights
from services.orgs.matching.decision import (
    NO_VERDICTS,
    Decision,
    Outcome,
    Question,
    Rule,
    Verdicts,
)
from services.orgs.matching.profile import Profile
from services.orgs.matching.score import Scored

_MOST_QUESTIONS = 5
_NO_COMPANIONS_MATCH = "It no longer matches the other records of the organization it was in."
_RENAMED = "Renamed, or was its id reused? Name and domain both changed."
_BLOCKED = "A person called it another organization than one of these records."


def decide(
    arriving: Profile, candidates: Sequence[Scored], verdicts: Verdicts = NO_VERDICTS
) -> Decision:
    own = _own(arriving, candidates)
    if own is None:
        return _Table(arriving, candidates, verdicts).decision()
    home = own.other.organization
    others = [each for each in candidates if each is not own]
    companions = [each for each in others if each.other.organization == home]
    renamed = _renamed(arriving, own)
    staying = _Table(arriving, companions, verdicts).link()
    if staying is not None:
        kept = ("It is the same record.", *staying.reasons)
        return Decision(Outcome.LINK, Rule.SAME_RECORD, home, staying.score, kept, (), renamed)
    elsewhere = _Table(arriving, others, verdicts).decision()
    if companions:
        told = (_NO_COMPANIONS_MATCH, *elsewhere.reasons)
        return replace(elsewhere, reasons=told, questions=(*renamed, *elsewhere.questions))
    if elsewhere.outcome is Outcome.LINK:
        return replace(elsewhere, questions=(*renamed, *elsewhere.questions))
    asked = (*renamed, *elsewhere.questions)
    told = ("It is the same record.",)
    return Decision(Outcome.LINK, Rule.SAME_RECORD, home, None, told, elsewhere.veto, asked)


def questions(
    arriving: Profile, candidates: Sequence[Scored], verdicts: Verdicts = NO_VERDICTS
) -> tuple[Question, ...]:
    """What a person would be asked of a record that stands as it does, the best first."""
    return _Table(arriving, candidates, verdicts).questions()


def _own(arriving: Profile, candidates: Iterable[Scored]) -> Scored | None:
    if arriving.pipedrive_id is None:
        return None
    same = (c for c in candidates if c.other.pipedrive_id == arriving.pipedrive_id)
    return next(same, None)


def _renamed(arriving: Profile, own: Scored) -> tuple[Question, ...]:
    before = own.other
    renamed = before.name.normalized != arriving.name.normalized
    if not (renamed and own.features.domain_differs):
        return ()
    return (Question(before.organization, before.ref, own.score, (_RENAMED,)),)


@dataclass(frozen=True, slots=True)
class _Table:
    """Rules b to f, and the verdicts above them, for one arriving record."""

    arriving: Profile
    candidates: Sequence[Scored]
    verdicts: Verdicts

    def decision(self) -> Decision:
        link = self.link()
        if link is not None:
            return link
        best = max(self._open(), key=lambda each: each.score, default=None)
        veto = reasons.vetoes(best.features) if best else ()
        asked = self.questions()
        if not asked:
            return Decision(Outcome.CREATE, Rule.NEW, reasons=("Nothing like it is known.",))
        told = asked[0].reasons
        score = asked[0].score
        return Decision(Outcome.REVIEW, Rule.REVIEW, None, score, told, veto, asked)

    def link(self) -> Decision | None:
        return self._by_verdict() or self._by_key() or self._by_name() or self._by_score()

    def _by_verdict(self) -> Decision | None:
        said = [c for c in self._open() if self._said_same(c)]
        return self._linked(said, Rule.VERDICT, "A person called them the same.")

    def _by_key(self) -> Decision | None:
        if self._torn():
            return None
        borne_out = [
            each
            for each in self._open()
            if each.features.same_words
            and each.other.name.form.spelling == self.arriving.name.form.spelling
            and reasons.key_evidence(each.features)
            and not self._contradicts(each.other.organization)
        ]
        told = "Their names are the same, and another fact bears it out."
        return self._linked(borne_out, Rule.KEY_AND_EVIDENCE, told)

    def _by_name(self) -> Decision | None:
        if self._torn():
            return None
        equal = self._equally_named()
        people = [self.arriving, *(each.other for each in equal)]
        if any(reasons.profiles_contradict(*pair) for pair in combinations(people, 2)):
            return None
        told = "Their names are equal, and nothing contradicts."
        return self._linked(equal, Rule.EQUAL_NAME, told)

    def _by_score(self) -> Decision | None:
        if self._torn():
            return None
        ranked = sorted(self._open(), key=lambda each: each.score, reverse=True)
        if not ranked or ranked[0].score < weights.AUTOMATIC:
            return None
        best = ranked[0]
        home = best.other.organization
        rivals = (each.score for each in ranked if each.other.organization != home)
        near = best.score - next(rivals, 0.0) <= weights.CLOSE
        forbidden = reasons.vetoes(best.features) or self._contradicts(home)
        if near or forbidden or not reasons.evidence(best.features):
            return None
        return self._linked([best], Rule.SCORE, "Their names are alike, and a fact bears it out.")

    def _linked(self, found: Sequence[Scored], rule: Rule, told: str) -> Decision | None:
        """A link if all that was found is one organization that no verdict closes."""
        homes = {each.other.organization for each in found}
        if len(homes) != 1 or homes & self._closed():
            return None
        best = max(found, key=lambda each: each.score)
        why = (told, *reasons.evidence(best.features))
        return Decision(Outcome.LINK, rule, homes.pop(), best.score, why)

    def questions(self) -> tuple[Question, ...]:
        best: dict[str, Question] = {}
        for each in sorted(self._open(), key=lambda each: each.score, reverse=True):
            if self._is_worth_asking(each):
                home = each.other.organization
                told = reasons.similarity(each.features, each.score)
                if home in self._closed():
                    told = (_BLOCKED, *told)
                question = Question(home, each.other.ref, each.score, told)
                best.setdefault(home, question)
        return tuple(best.values())[:_MOST_QUESTIONS]

    def _is_worth_asking(self, each: Scored) -> bool:
        found = each.features
        return bool(
            each.score >= weights.REVIEW
            or found.same_domain
            or found.former_name
            or found.same_words
            or self._said_same(each)
            or each in self._equally_named()
        )

    def _said_same(self, each: Scored) -> bool:
        return self.verdicts.are_same(self.arriving.ref, each.other.ref)

    def _torn(self) -> bool:
        """Whether "the same" was said, and could not be done: then a person has to sort it out."""
        return any(self._said_same(each) for each in self.candidates)

    def _open(self) -> list[Scored]:
        return [c for c in self.candidates if not self._said_distinct(c)]

    def _closed(self) -> set[str]:
        return {c.other.organization for c in self.candidates if self._said_distinct(c)}

    def _said_distinct(self, each: Scored) -> bool:
        return self.verdicts.are_distinct(self.arriving.ref, each.other.ref)

    def _equally_named(self) -> list[Scored]:
        key = self.arriving.name.normalized
        return [each for each in self._open() if key and each.other.name.normalized == key]

    def _contradicts(self, organization: str) -> bool:
        return any(
            reasons.profiles_contradict(self.arriving, each.other)
            for each in self.candidates
            if each.other.organization == organization
        )
