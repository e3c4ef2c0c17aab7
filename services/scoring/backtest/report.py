"""What a backtest prints. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from services.scoring.backtest import metrics
from services.scoring.backtest.metrics import HORIZON, Sample, Span, Tally


def lines(
    company_id: int, span: Span, samples: Sequence[Sample], outcomes: Mapping[str, int]
) -> Iterator[str]:
    found = metrics.added(sample.tally for sample in samples)
    first, last = samples[0].at.date(), samples[-1].at.date()
    deals, meetings = outcomes.get("deal", 0), outcomes.get("meeting", 0)
    yield f"company        {company_id}"
    yield f"log            {span.events:,} events, {span.began:%F} to {span.ended:%F}"
    yield f"samples        {len(samples)}, from {first} to {last}; {found.total:,} scores"
    yield f"outcomes       {deals:,} deals won, {meetings:,} meetings held"
    yield f"followed       {_percent(found.base_rate)} of scores, within {HORIZON.days} days"
    yield f"AUC            {_figure(metrics.auc(found), 3)}  (0.5 is chance, 1 is perfect)"
    yield f"lift, top 10 % {_figure(metrics.lift(found), 2)}  (1 is chance)"
    yield ""
    yield from _table(found)
    if samples[-1].at + HORIZON > span.ended:
        yield ""
        yield f"The log ends within {HORIZON.days} days of the last sample: outcomes are missing."


def _table(found: Tally) -> Iterator[str]:
    yield f"{'band':6} {'scores':>12} {'followed':>12} {'share':>8} {'against all':>12}"
    for band in metrics.calibration(found):
        yield (
            f"{band.band:6} {band.given:12,} {band.followed:12,} {_percent(band.rate):>8} "
            f"{_figure(band.against_all, 2):>12}"
        )


def _figure(value: float | None, places: int) -> str:
    return "not known" if value is None else f"{value:.{places}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
