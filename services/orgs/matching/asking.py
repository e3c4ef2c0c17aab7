"""Which records a person should compare, and what they see. Pure.

Rule 1: rule e of the decision table says what is asked, one question per organization.
Rule 2: words are weighed by how common they are in business everywhere, so a question does not
        come and go with the tenant's other names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.orgs.matching import decision, questions, score
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity
from services.orgs.matching.statement import Statement


class Was(NamedTuple):
    """A former name and domain of a record, and the last version that had the domain."""

    name: str
    domain: str
    version: int


@dataclass(frozen=True, slots=True)
class Asked:
    """`ref` is the record that the asking one is compared with: itself, as it was, if the question
    is whether it is still the same.
    """

    ref: str
    score: float
    features: dict[str, float]
    reasons: tuple[str, ...]
    was: Was | None = None


def asked(
    asking: Profile,
    candidates: Sequence[Profile],
    said: Iterable[Statement],
    standing: frozenset[str] = frozenset(),
) -> list[Asked]:
    """The best questions, and those of `standing` (refs) that are still worth asking."""
    rarity = Rarity()
    scored = [score.compared(asking, each, rarity) for each in candidates]
    verdicts = _verdicts(asking.ref, said)
    worth = list(questions.about(asking, scored, verdicts))
    for each in scored:
        if each.other.ref in standing:
            worth += questions.about(asking, [each], verdicts)
    features = {each.other.ref: each.features.named() for each in scored}
    return [
        Asked(
            question.ref,
            question.score,
            {name: value for name, value in features[question.ref].items() if value},
            question.reasons,
        )
        for question in {question.ref: question for question in worth}.values()
    ]


def seen(found: Profile, organization: str, former: Iterable[str]) -> Profile:
    """The profile as part of an organization, with its former normalized names."""
    names = frozenset(former) - {found.name.normalized}
    return replace(found, organization=organization, former=names)


def _verdicts(ref: str, said: Iterable[Statement]) -> decision.Verdicts:
    same: set[tuple[str, str]] = set()
    distinct: set[tuple[str, str]] = set()
    for each in said:
        sides = [{one.hex for one in side} for side in (each.left, each.right)]
        if each.same:
            same |= {(ref, other) for other in sides[0] | sides[1] if other != ref}
        else:
            distinct |= {(ref, other) for side in sides if ref not in side for other in side}
    return decision.verdicts(same, distinct)
