"""How well organizations are matched, using the product's own keys, score, partition and
questions.

    python -m bench.matching --names FILE [--distinct FILE] [--columns names|all] [--raw-labels]

FILE is CSV, gzipped or not: `cluster,name[,country,city,zipcode,website]`; rows of one cluster are
one organization. See bench/matching_task.py for the task. It is measured by names only, then with
the other columns if any are filled, unless --columns selects one of the two. The file of
--distinct has a `name` and perhaps a `country`: each row is an organization of its own, so
every automatic link is wrong.

Candidates come from memory (bench/matching_candidates.py); the product takes them from Postgres.
What is linked automatically is what the worker's partition unites, of all records at once.
pg_trgm is measured on a Postgres that is started for it.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # run by its path: the checkout is where its modules are
    sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import matching_baselines as baselines
from bench import matching_measure as measure
from bench.matching_baselines import Best
from bench.matching_candidates import Store
from bench.matching_formed import wholes
from bench.matching_measure import Figures
from bench.matching_task import Row, Task, build, names_only, profiled, read, says_more
from services.orgs.matching import questions, score, weights
from services.orgs.matching.profile import Profile
from services.orgs.matching.rarity import Rarity
from services.orgs.matching.score import Scored

COMMON = Rarity()
NAMES, ALL = "names", "all"
TITLES = {NAMES: "this matcher", ALL: "with all columns"}
BAR_PRECISION = 0.92
MARGIN = 0.03
"""Margin over the bar that a threshold must have on its own half, to hold on the other."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the matcher says of each arrival: the best candidate; the clusters that are stored in
    the organization it joins automatically; those that a person would be asked about.
    """

    best: Sequence[Best]
    linked: Sequence[frozenset[str]]
    offered: Sequence[frozenset[str]]
    pairs: int
    pair_us: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--distinct", type=Path)
    parser.add_argument("--columns", choices=(NAMES, ALL))
    parser.add_argument(
        "--raw-labels", action="store_true", help="neither drop nor unite clusters"
    )
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    rows = read(options.names, key="cluster")
    wanted = [options.columns] if options.columns else [NAMES, ALL] if says_more(rows) else [NAMES]
    tasks = {
        columns: build(rows, columns=columns, raw_labels=options.raw_labels) for columns in wanted
    }
    task = tasks[wanted[0]]
    print_task(task)
    answers = {columns: answered(each) for columns, each in tasks.items()}
    found = {TITLES[columns]: each.best for columns, each in answers.items()}
    found["basic rule"] = baselines.basic_rule(task)
    found["rapidfuzz WRatio"] = baselines.wratio(task)
    found["pg_trgm similarity"] = asyncio.run(baselines.trigrams(task))
    print_tables(task, found)
    for columns, each in answers.items():
        print_decisions(tasks[columns], each, columns)
    if options.distinct:
        distinct = read(options.distinct)
        print_distinct(distinct if options.columns == ALL else names_only(distinct))


def answered(task: Task) -> Answers:
    store = Store(profile for _, profile in task.stored)
    near = [store.near(arrival.profile) for arrival in task.arrivals]
    begun = time.perf_counter()
    scored = [
        _compared(arrival.profile, others)
        for arrival, others in zip(task.arrivals, near, strict=True)
    ]
    spent = time.perf_counter() - begun
    pairs = sum(map(len, near))
    linked = _linked(task)
    offered = [
        frozenset() if into else _offered(arrival.profile, others)
        for arrival, others, into in zip(task.arrivals, scored, linked, strict=True)
    ]
    us = spent / max(pairs, 1) * 1e6
    return Answers([_best(each) for each in scored], linked, offered, pairs, us)


def _linked(task: Task) -> list[frozenset[str]]:
    stored = [profile for _, profile in task.stored]
    numbers = wholes([*stored, *(arrival.profile for arrival in task.arrivals)])
    held: defaultdict[int, set[str]] = defaultdict(set)
    for profile, number in zip(stored, numbers, strict=False):
        held[number].add(profile.organization)
    return [frozenset(held.get(number, ())) for number in numbers[len(stored) :]]


def _compared(one: Profile, others: Sequence[Profile]) -> list[Scored]:
    """By words common in business everywhere, as the product does."""
    return [score.compared(one, other, COMMON) for other in others]


def _offered(arriving: Profile, near: Sequence[Scored]) -> frozenset[str]:
    return frozenset(each.organization for each in questions.about(arriving, near))


def _best(scored: Sequence[Scored]) -> Best:
    best = max(scored, key=lambda each: each.score, default=None)
    return (best.other.organization, best.score) if best else (None, 0.0)


def print_task(task: Task) -> None:
    known = sum(arrival.known for arrival in task.arrivals)
    print(f"matcher version {weights.MATCHER_VERSION}")
    print(
        f"{len(task.stored)} stored; {known} arrive known under another spelling, "
        f"{len(task.arrivals) - known} new; clusters dropped for contradicting facts: "
        f"{task.dropped}, united by equal names: {task.united}"
    )


def print_tables(task: Task, answers: dict[str, Sequence[Best]]) -> None:
    for title, least in (
        (f"threshold of the best F1 with precision >= {BAR_PRECISION}", BAR_PRECISION + MARGIN),
        ("threshold of the best F1", 0.0),
    ):
        print(f"\n{title}, fitted on one half, reported on the other")
        print(f"{'matcher':<20}{'threshold':>10}{'precision':>11}{'recall':>8}{'F1':>8}", end="")
        print(f"{'new swallowed':>15}")
        for name, best in answers.items():
            threshold = measure.fitted(task.arrivals, best, least)
            _print_figures(name, measure.reported(task.arrivals, best, threshold))


def _print_figures(name: str, found: Figures) -> None:
    print(
        f"{name:<20}{found.threshold:>10.3f}{found.precision:>11.3f}{found.recall:>8.3f}", end=""
    )
    print(f"{found.f1:>8.3f}{found.swallowed:>15.1%}")


def print_decisions(task: Task, answers: Answers, columns: str) -> None:
    """What the product does at its own thresholds, on the half that is reported."""
    half = [
        (arrival, linked, offered)
        for arrival, linked, offered in zip(
            task.arrivals, answers.linked, answers.offered, strict=True
        )
        if not arrival.fitting
    ]
    known = sum(arrival.known for arrival, _, _ in half)
    linked = [(arrival, into) for arrival, into, _ in half if into]
    right = sum(arrival.known and into == {arrival.row.cluster} for arrival, into in linked)
    swallowed = sum(not arrival.known for arrival, _ in linked)
    queued = [(arrival, offered) for arrival, _, offered in half if offered]
    offered = sum(arrival.known and arrival.row.cluster in among for arrival, among in queued)
    print(f"\nby the product's rules and thresholds, {TITLES[columns]} ({columns})")
    print(f"automatic precision  {right / max(len(linked), 1):.3f}")
    print(f"automatic recall     {right / max(known, 1):.3f}")
    print(f"new ones swallowed   {swallowed / max(len(half) - known, 1):.2%} automatically")
    print(f"queued for review    {len(queued) / max(len(half), 1):.1%} of the arrivals; ", end="")
    print(f"linked or offered rightly: {(right + offered) / max(known, 1):.1%} of the known")
    print(f"time per pair        {answers.pair_us:.1f} µs over {answers.pairs} pairs")


def print_distinct(rows: Sequence[Row]) -> None:
    """Different organizations; for each that stays alone, whether a person would be asked about it
    and an earlier one.
    """
    begun = time.perf_counter()
    profiles = [profiled(row, row.cluster) for row in rows]
    numbers = wholes(profiles)
    swallowed = len(profiles) - len(set(numbers))
    store = Store(())
    queued = 0
    for profile, number in zip(profiles, numbers, strict=True):
        placed = replace(profile, organization=str(number))
        others = [o for o in store.near(placed) if o.organization != placed.organization]
        queued += bool(_offered(placed, _compared(placed, others)))
        store.add(placed)
    total = max(len(profiles), 1)
    spent = time.perf_counter() - begun
    print(f"\n{total} different entities ({spent:.0f} s)")
    print(f"swallowed automatically  {swallowed} = {swallowed / total:.3%}")
    print(f"queued for review        {queued} = {queued / total:.2%}")


if __name__ == "__main__":
    main()
