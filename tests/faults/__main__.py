"""Runs scenarios and prints what came of them.

python -m tests.faults [--first 1] [--count 20] [--at-once 1] [--clocks] [--long]
A seed that failed is run again by `--first SEED --count 1`; the logs of its services stay in
`.local/faults/SEED`. A scenario mostly waits, so several may run at once, each on servers of its
own; they take CPU time from one another, though, and an overloaded machine fails scenarios, too.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.faults import scenario
from tests.faults.plan import Fault, Kind, Plan
from tests.faults.scenario import Outcome
from tests.support import infra as servers
from tests.support.infra import LOCAL, Infra


@dataclass(slots=True)
class Tally:
    outcomes: list[Outcome] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


async def one(chosen: Plan, infra: Infra) -> Outcome:
    folder = LOCAL / "faults" / str(chosen.seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with servers.new_database(infra) as database:
        redis = servers.empty_redis(infra)
        async with servers.new_topics(infra) as prefix:
            outcome = await scenario.run(chosen, infra, database, redis, prefix, folder)
    if outcome.is_clean:
        shutil.rmtree(folder)
    return outcome


def run(seeds: Sequence[int], dear: Collection[Kind]) -> Tally:
    """One after the other. What is said of a seed is said in one piece: others may run beside."""
    tally = Tally()
    with servers.own_servers() as infra:
        for seed in seeds:
            chosen = scenario.drawn(seed, dear)
            said = [f"seed {seed}", *map(planned, chosen.faults)]
            try:
                outcome = asyncio.run(one(chosen, infra))
            except KeyboardInterrupt:
                say("  stopped")
                break
            except Exception as error:  # noqa: BLE001  the next seed is tried all the same
                tally.failed[seed] = "; ".join(reasons(error))
                said += [f"  FAILED {tally.failed[seed]}", *traceback.format_exception(error)]
            else:
                tally.outcomes.append(outcome)
                said.append(f"  {line(outcome)}")
                if not outcome.is_clean:
                    tally.failed[seed] = "not clean"
                    for each in (*outcome.lost[:5], *outcome.doubled[:5], *outcome.stale[:5]):
                        said.append(f"  {each}")
            say("\n".join(said))
    return tally


def run_at_once(seeds: Sequence[int], at_once: int, dear: Collection[Kind]) -> Tally:
    with ProcessPoolExecutor(at_once) as pool:
        parts = [pool.submit(run, seeds[number::at_once], dear) for number in range(at_once)]
        try:
            return joined(parts)
        except KeyboardInterrupt:  # they got it, too, and end with what they have
            return joined(parts)


def joined(parts: Iterable[Future[Tally]]) -> Tally:
    tally = Tally()
    for part in parts:
        done = part.result()
        tally.outcomes += done.outcomes
        tally.failed |= done.failed
    return tally


def planned(fault: Fault) -> str:
    return f"    {fault.at_s:6.2f} s  {fault.kind.value}: {fault.target}, {fault.lasts_s} s"


def reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for each in error.exceptions for reason in reasons(each)]
    return [f"{type(error).__name__}: {error}"]


def line(outcome: Outcome) -> str:
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(outcome.outcomes.items()))
    answers = ", ".join(f"{count} x {status}" for status, count in outcome.statuses.items())
    return (
        f"{outcome.events} acked ({answers}): {fates}; {len(outcome.lost)} lost, "
        f"{len(outcome.doubled)} doubled, {len(outcome.stale)} of {outcome.looks} pages stale, "
        f"all equal {outcome.settled_s:.1f} s after the end"
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Markdown: each kind of fault, how often it was there, and how long until all was well."""
    times: dict[str, list[float]] = defaultdict(list)
    counts = Counter(fault.kind.value for each in outcomes for fault in each.plan.faults)
    for outcome in outcomes:
        for kind, seconds in outcome.recoveries:
            times[kind.value].append(seconds)
    rows = ["| fault | times | recovered in: median | longest |", "|---|---|---|---|"]
    for name, count in sorted(counts.items()):
        found = times[name]
        median, longest = (
            (f"{statistics.median(found):.1f} s", f"{max(found):.1f} s") if found else ("", "")
        )
        rows.append(f"| {name} | {count} | {median} | {longest} |")
    return rows


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  what the command is for


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=20, help="how many seeds")
    parser.add_argument("--at-once", type=int, default=1, help="how many beside one another")
    parser.add_argument("--clocks", action="store_true", help="also step clocks (libfaketime)")
    parser.add_argument("--long", action="store_true", help="also outages of half a minute")
    given = parser.parse_args()
    asked = {Kind.CLOCK: given.clocks, Kind.LONG_OUTAGE: given.long}
    dear = [kind for kind, is_asked in asked.items() if is_asked]
    seeds = range(given.first, given.first + given.count)
    tally = run_at_once(seeds, given.at_once, dear) if given.at_once > 1 else run(seeds, dear)
    done = tally.outcomes
    say("")
    for row in table(done):
        say(row)
    say(
        f"{len(done)} scenarios, {sum(len(o.plan.faults) for o in done)} faults, "
        f"{sum(o.events for o in done)} events acked, {sum(len(o.lost) for o in done)} lost, "
        f"{sum(len(o.doubled) for o in done)} doubled, {sum(len(o.stale) for o in done)} stale of "
        f"{sum(o.looks for o in done)} pages looked at; "
        f"all equal at most {max((o.settled_s for o in done), default=0):.1f} s after the end; "
        f"failed: {sorted(tally.failed) or 'none'}"
    )
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
