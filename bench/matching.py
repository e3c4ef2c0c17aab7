"""How well organizations are matched, through the product's own keys, score and decision table.

    python -m bench.matching --names FILE [--distinct FILE] [--columns names|all] [--raw-labels]

FILE is CSV, gzipped or not: `cluster,name[,country,city,zipcode,website]`; rows of one cluster are
one organization. See bench/matching_task.py for the task. It is measured by names only, then with
the other columns where they say something, unless --columns wants one of both. The file of
--distinct has a `name` and perhaps a `country`: each row is an organization of its own, so
whatever links by itself is false.

Candidates come from memory (bench/matching_candidates.py); the product takes them from Postgres.
pg_trgm is measured on a Postgres that is started for it.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # run by its path: the checkout is where its modules are
    sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import matching_baselines as baselines
from bench import matching_measure as measure
from bench.matching_baselines import Best
from bench.matching_candidates import Store
from bench.matching_measure import Figures
from bench.matching_task import Arrival, Row, Task, build, names_only, profiled, read, says_more
from services.orgs.matching import rarity, score, weights
from services.orgs.matching.decide import decide
from services.orgs.matching.decision import Decision, Outcome
from services.orgs.matching.score import Scored

NAMES, ALL = "names", "all"
TITLES = {NAMES: "this matcher", ALL: "with all columns"}
BAR_PRECISION = 0.92
MARGIN = 0.03
"""What a threshold must keep over the bar on its own half, so as to hold it on the other."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the matcher says of each arrival."""

    best: Sequence[Best]
    decisions: Sequence[Decision]
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
    common = rarity.of_names(each.name.words for each in store.profiles)
    near = [store.near(arrival.profile) for arrival in task.arrivals]
    begun = time.perf_counter()
    scored = [
        [score.compared(arrival.profile, other, common) for other in others]
        for arrival, others in zip(task.arrivals, near, strict=True)
    ]
    spent = time.perf_counter() - begun
    pairs = sum(map(len, near))
    decisions = [decide(a.profile, c) for a, c in zip(task.arrivals, scored, strict=True)]
    return Answers([_best(c) for c in scored], decisions, pairs, spent / max(pairs, 1) * 1e6)


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
    """The decision table at the product's own thresholds, on the half that is reported."""
    half = [
        pair for pair in zip(task.arrivals, answers.decisions, strict=True) if not pair[0].fitting
    ]
    linked = [pair for pair in half if pair[1].outcome is Outcome.LINK]
    right = sum(_is_right(*pair) for pair in linked)
    known = sum(arrival.known for arrival, _ in half)
    swallowed = sum(not arrival.known for arrival, _ in linked)
    queued = [pair for pair in half if pair[1].outcome is Outcome.REVIEW]
    offered = sum(_is_offered(*pair) for pair in queued)
    print(f"\nby the decision table, {TITLES[columns]} ({columns})")
    print(f"automatic precision  {right / max(len(linked), 1):.3f}")
    print(f"automatic recall     {right / max(known, 1):.3f}")
    print(f"new ones swallowed   {swallowed / max(len(half) - known, 1):.2%} automatically")
    print(f"queued for review    {len(queued) / max(len(half), 1):.1%} of the arrivals; ", end="")
    print(f"linked or offered rightly: {(right + offered) / max(known, 1):.1%} of the known")
    print(f"time per pair        {answers.pair_us:.1f} µs over {answers.pairs} pairs")


def _is_right(arrival: Arrival, decision: Decision) -> bool:
    return arrival.known and decision.organization == arrival.row.cluster


def _is_offered(arrival: Arrival, decision: Decision) -> bool:
    offered = {question.organization for question in decision.questions}
    return arrival.known and arrival.row.cluster in offered


def print_distinct(rows: Sequence[Row]) -> None:
    """Different organizations arrive one by one at an empty store."""
    begun = time.perf_counter()
    profiles = [profiled(row, row.cluster) for row in rows]
    common = rarity.of_names(each.name.words for each in profiles)
    store = Store(())
    swallowed = queued = 0
    for arriving in profiles:
        unplaced = replace(arriving, organization="")
        decision = decide(
            unplaced, [score.compared(unplaced, o, common) for o in store.near(unplaced)]
        )
        swallowed += decision.outcome is Outcome.LINK
        queued += decision.outcome is Outcome.REVIEW
        home = decision.organization or arriving.organization
        store.add(replace(arriving, organization=home))
    total = max(len(profiles), 1)
    spent = time.perf_counter() - begun
    print(f"\n{total} different entities, one after another ({spent:.0f} s)")
    print(f"swallowed automatically  {swallowed} = {swallowed / total:.3%}")
    print(f"queued for review        {queued} = {queued / total:.2%}")


if __name__ == "__main__":
    main()
