"""`python -m services.scoring backtest` checks whether weights would have predicted what happened.

It reads one company's log from Kafka, replays it in the order in which things happened, scores as
of each day, and counts what followed each score. It needs the services' environment, and room in
the scoring store's Postgres for the company's part of the log.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pydantic import ValidationError

from services.scoring import weighing, weight_table
from services.scoring.backtest import metrics, plot, report, scratch
from services.scoring.backtest.journal import READ, Journal
from services.scoring.backtest.metrics import HORIZON
from services.scoring.backtest.progress import Bar
from services.scoring.backtest.replaying import Replay
from services.scoring.settings import ScoringSettings
from services.scoring.weight_table import WeightTable
from shared import db, events
from shared.errors import Poison, Unavailable
from shared.events import Action, ScoringWeights, ScoringWeightsChange, Source
from shared.kafka.replay import replay
from shared.settings import told
from shared.tenants import Tenants

MIGRATIONS = Path(__file__).parents[1] / "migrations"
DAILY_UP_TO = timedelta(days=120)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Wanted:
    company_id: int
    weights: WeightTable
    first: date | None
    last: date | None
    out: Path | None


async def main(arguments: Sequence[str]) -> None:
    """Raises:
    SystemExit: it cannot be done; the message says why.
    """
    wanted = parse(arguments)
    settings = told(ScoringSettings)
    tenants = Tenants(settings.tenants_file)
    try:
        with db.errors():
            async with scratch.store(settings.database_url.get_secret_value(), MIGRATIONS) as pool:
                await run(wanted, settings, tenants, pool)
    except Unavailable as outage:
        raise SystemExit(f"away: {outage}") from outage


def parse(arguments: Sequence[str]) -> Wanted:
    parser = argparse.ArgumentParser("python -m services.scoring backtest", description=__doc__)
    parser.add_argument("--company", type=_company, required=True, help="Pipedrive company id")
    parser.add_argument("--weights", type=Path, required=True, help="JSON file with the weights")
    parser.add_argument(
        "--from", dest="first", type=date.fromisoformat, help="first day to sample"
    )
    parser.add_argument("--to", dest="last", type=date.fromisoformat, help="last day to sample")
    parser.add_argument("--out", type=Path, help="write an SVG chart of the outcome")
    given = parser.parse_args(arguments)
    table = read_table(given.weights)
    return Wanted(given.company, table, given.first, given.last, given.out)


def _company(text: str) -> int:
    try:
        return events.number(text)
    except Poison as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def read_table(file: Path) -> WeightTable:
    """Raises:
    SystemExit: the file has no valid table of weights.
    """
    try:
        return WeightTable.model_validate_json(file.read_bytes())
    except OSError as error:
        raise SystemExit(f"{file}: {error.strerror}") from error
    except ValidationError as error:
        raise SystemExit(f"{file}: {' '.join(weight_table.sentences(error))}") from error


async def run(wanted: Wanted, settings: ScoringSettings, tenants: Tenants, pool: db.Pool) -> None:
    journal = Journal(wanted.company_id)
    await _fill(journal, wanted, settings, pool)
    async with pool.acquire() as conn:
        span = await journal.span(conn)
        if span is None:
            raise SystemExit(f"the log holds nothing for company {wanted.company_id}")
        instants = sampled(wanted, span.began, span.ended)
        bar = Bar(sys.stderr, "replaying", await journal.count(conn, instants[-1]))
    samples = await Replay(pool, tenants, journal).run(instants, bar.at)
    async with pool.acquire() as conn:
        outcomes = await journal.outcomes(conn, instants[0], instants[-1] + HORIZON)
    for line in report.lines(wanted.company_id, span, samples, outcomes):
        _say(line)
    if journal.unreadable:
        _say(f"left out       {journal.unreadable:,} records that cannot be read")
    if wanted.out is not None:
        title = f"Company {wanted.company_id}, {instants[0]:%F} to {instants[-1]:%F}"
        whole = metrics.added(sample.tally for sample in samples)
        wanted.out.write_text(plot.svg(title, whole))
        _say(f"picture        {wanted.out}")


async def _fill(
    journal: Journal, wanted: Wanted, settings: ScoringSettings, pool: db.Pool
) -> None:
    """Read the log; decide the weights in the store that it will be replayed to."""
    async with scratch.amid(pool) as conn:
        await weighing.adopt(conn, [_decision(wanted)], datetime.now(UTC))
        await journal.create(conn)
        bar: Bar | None = None
        async for stretch in replay(settings, READ):
            bar = bar or Bar(sys.stderr, "reading", stretch.total)
            await journal.add(conn, stretch.records)
            bar.at(stretch.done)
        await journal.close(conn)


def _decision(wanted: Wanted) -> ScoringWeightsChange:
    now = datetime.now(UTC)
    return ScoringWeightsChange(
        event_id="backtest",
        company_id=wanted.company_id,
        entity="scoring_weights",
        entity_id="weights",
        action=Action.CHANGE,
        version=1,
        occurred_at=now,
        received_at=now,
        source=Source.APP,
        data=ScoringWeights(weights=wanted.weights.stored(), user_id=0, reason="backtest"),
    )


def sampled(wanted: Wanted, began: datetime, ended: datetime) -> list[datetime]:
    """Midnights, UTC: each day, or each week if that would be more than 120. Unless days are
    given: from the start of the log to the last day whose outcomes are still in it.

    Raises:
        SystemExit: no day is left.
    """
    first = _midnight(wanted.first) if wanted.first else _midnight(began.date()) + DAY
    last = _midnight(wanted.last) if wanted.last else _midnight((ended - HORIZON).date())
    if last < first:
        raise SystemExit(
            f"no day to sample from {first:%F} to {last:%F}: the log spans {began:%F} to "
            f"{ended:%F}, and outcomes are counted in the {HORIZON.days} days after a sample"
        )
    step = DAY if last - first <= DAILY_UP_TO else WEEK
    return [first + step * each for each in range((last - first) // step + 1)]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
