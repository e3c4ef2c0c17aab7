"""Fit the coefficients of services/orgs/matching/weights.py and write that file.

    python -m bench.fit_matching --names FILE --distinct FILE [--out FILE]

It learns from one half of the clusters by their hash, the half that bench.matching fits its
thresholds on and does not report: real pairs of the link task, real names of different entities
that resemble each other, and made-up respellings of such names. Newton's method, no library.

It fits what names say, except for what is STATED here: facts besides the name, since the available
labels were made from one provider's websites and countries; a number that only one name has, which
on exchanges is a share's nominal value: it says nothing here, and is a veto elsewhere; and a word
that only one of two full legal names has, which respellings leave out and registers don't.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from bench.matching_candidates import Store
from bench.matching_noise import respelt
from bench.matching_task import build, is_fitting, names_only, profiled, read
from services.orgs.matching import features
from services.orgs.matching.features import NAMES
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity
from services.orgs.matching.score import logistic

SEED = 20_251
RIVALS = 6
DRAWS = ("first", "second", "third")
"""Random drawings of the link task's roles."""
RESPELT = 6_000
RIDGE = 1.0
STEPS = 25
STATED = {
    "number_on_one_side": 0.0,
    "word_on_one_side": -1.5,
    "former_name": 1.5,
    "same_domain": 1.5,
    "domain_differs": -1.5,
    "same_country": 0.3,
    "country_differs": -1.5,
    "same_postcode": 1.0,
    "postcode_differs": -0.3,
    "same_city": 0.5,
    "city_differs": -0.3,
    "same_phone": 2.0,
}
OUT = Path("services/orgs/matching/weights.py")

Example = tuple[tuple[float, ...], bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--distinct", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    random = Random(SEED)
    examples = [
        (fitted(values), same)
        for values, same in (*linked(options.names), *respelled(options.distinct, random))
    ]
    same = sum(label for _, label in examples)
    print(f"{len(examples)} pairs, {same} of them the same", file=sys.stderr)
    coefficients = newton(examples)
    sources = (options.names.name, options.distinct.name)
    options.out.write_text(written(coefficients, len(examples), same, sources), encoding="utf-8")


def linked(path: Path) -> Iterator[Example]:
    """Arrivals of the fitting half, with what the store has for them."""
    rows = read(path, key="cluster")
    for draw in DRAWS:
        task = build(rows, columns="names", draw=draw)
        store = Store(profile for _, profile in task.stored)
        common = rarity_in(store)
        for arrival in task.arrivals:
            if arrival.fitting:
                cluster = arrival.row.cluster
                yield from beside(store, arrival.profile, cluster, common)


def respelled(path: Path, random: Random) -> Iterator[Example]:
    """Different entities' names: one arrives respelt, the others are stored."""
    rows = [row for row in names_only(read(path)) if is_fitting(row.stated.name or "")]
    store = Store(profiled(row, row.cluster) for row in rows)
    common = rarity_in(store)
    for row in random.sample(rows, min(RESPELT, len(rows))):
        name = respelt(row.stated.name or "", random)
        arriving = profiled(replace(row, stated=replace(row.stated, name=name)), "")
        yield from beside(store, arriving, row.cluster, common)


def rarity_in(store: Store) -> Rarity:
    """Of its words, each counted once per name."""
    having = Counter(word for each in store.profiles for word in set(each.name.words))
    return Rarity(len(store.profiles), having)


def beside(store: Store, arriving: Profile, cluster: str, common: Rarity) -> Iterator[Example]:
    """The pair that is one organization, and the rivals that resemble it most."""
    pairs = []
    for other in store.near(arriving):
        pair = features.between(arriving, other, common)
        pairs.append((pair.shared + pair.letters, tuple(pair), other.organization == cluster))
    pairs.sort(key=lambda pair: pair[0], reverse=True)
    yield from ((values, True) for _, values, same in pairs if same)
    yield from [(values, False) for _, values, same in pairs if not same][:RIVALS]


def fitted(values: tuple[float, ...]) -> tuple[float, ...]:
    pairs = zip(NAMES, values, strict=True)
    return tuple(0.0 if name in STATED else value for name, value in pairs)


def newton(examples: Sequence[Example]) -> list[float]:
    """Logistic regression; the intercept comes first."""
    size = len(NAMES) + 1
    beta = [0.0] * size
    for _ in range(STEPS):
        gradient = [-RIDGE * b for b in beta]
        hessian = [[RIDGE if i == j else 0.0 for j in range(size)] for i in range(size)]
        for values, label in examples:
            row = [(0, 1.0), *((i + 1, v) for i, v in enumerate(values) if v)]
            total = sum(beta[i] * v for i, v in row)
            chance = logistic(total)
            spread = chance * (1 - chance)
            for i, v in row:
                gradient[i] += (label - chance) * v
                line = hessian[i]
                pull = spread * v
                for j, u in row:
                    line[j] += pull * u
        step = solved(hessian, gradient)
        beta = [b + s for b, s in zip(beta, step, strict=True)]
        if max(map(abs, step)) < 1e-4:
            break
    return beta


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination; the matrix is symmetric, and positive definite by its ridge."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(size):
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            if factor:
                rows[k] = [x - factor * y for x, y in zip(rows[k], rows[i], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        known = sum(rows[i][j] * found[j] for j in range(i + 1, size))
        found[i] = (rows[i][size] - known) / rows[i][i]
    return found


def written(beta: Sequence[float], pairs: int, same: int, sources: tuple[str, str]) -> str:
    lines = "\n".join(
        f'    "{name}": {STATED.get(name, value):.3f},'
        for name, value in zip(NAMES, beta[1:], strict=True)
    )
    day = datetime.now(UTC).date()
    return TEMPLATE.format(
        day=day,
        pairs=pairs,
        same=same,
        names=sources[0],
        distinct=sources[1],
        intercept=f"{beta[0]:.3f}",
        lines=lines,
    )


TEMPLATE = '''"""The score's coefficients and thresholds. Data, written by `bench.fit_matching`.

Fitted {day} on {pairs} pairs, {same} of them one organization,
of {names} and {distinct}: the half for which no figure is reported.
A change of any number here is another matcher: raise MATCHER_VERSION.
"""

from collections.abc import Mapping

MATCHER_VERSION = 7

AUTOMATIC = 0.9
"""From here on a name links automatically, if another fact corroborates it and none forbids it."""
REVIEW = 0.25
"""From here on a person is asked."""
CLOSE = 0.05
"""Two organizations whose scores are this close can't be told apart."""

INTERCEPT = {intercept}
COEFFICIENTS: Mapping[str, float] = {{
{lines}
}}
'''

if __name__ == "__main__":
    main()
