"""What people see of a backtest: the bar while it runs, the picture, the days it looks at."""

import io
import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from services.scoring import weight_table
from services.scoring.backtest import command, metrics, plot
from services.scoring.backtest.command import Wanted
from services.scoring.backtest.progress import Bar

BEGAN = datetime(2026, 1, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wanted(first: date | None = None, last: date | None = None) -> Wanted:
    return Wanted(1, weight_table.DEFAULT, first, last, None)


@pytest.mark.parametrize(
    "counts", [{}, {5: (10, 0)}, {3: (10, 10)}, {0: (90, 1), 4: (50, 9), 9: (5, 4)}]
)
def test_the_picture_is_well_formed_whatever_was_found(
    counts: dict[int, tuple[int, int]],
) -> None:
    drawn = plot.svg("Acme & <Sons>", metrics.tally(counts))

    root = ET.fromstring(drawn)  # noqa: S314  our own
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Acme & <Sons>"
    assert "nan" not in drawn.lower()


def test_in_a_log_the_bar_is_a_line_for_every_tenth() -> None:
    out = io.StringIO()
    bar = Bar(out, "reading", 1000)

    for done in range(0, 1001, 5):
        bar.at(done)

    assert len(out.getvalue().splitlines()) == 11
    assert "100%" in out.getvalue().splitlines()[-1]


def test_on_a_terminal_the_bar_is_redrawn_and_not_too_often() -> None:
    out, times = Terminal(), iter(range(10_000))
    bar = Bar(out, "reading", 1000, lambda: next(times) / 100)

    for done in range(0, 1001, 5):
        bar.at(done)

    assert 2 <= out.getvalue().count("\r") < 100
    assert out.getvalue().endswith("\n")


def test_nothing_to_do_is_done() -> None:
    out = io.StringIO()

    Bar(out, "reading", 0).at(0)

    assert "0%" in out.getvalue()


def test_days_are_those_whose_outcomes_the_log_still_holds() -> None:
    instants = command.sampled(wanted(), BEGAN, BEGAN + 100 * DAY)

    assert (instants[0], instants[-1]) == (
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 11, tzinfo=UTC),
    )
    assert len(instants) == 10


def test_a_long_time_is_looked_at_week_by_week() -> None:
    instants = command.sampled(wanted(), BEGAN, BEGAN + 700 * DAY)

    assert {b - a for a, b in itertools.pairwise(instants)} == {7 * DAY}


def test_a_log_too_short_is_told_so() -> None:
    with pytest.raises(SystemExit, match="no day to sample"):
        command.sampled(wanted(), BEGAN, BEGAN + 50 * DAY)

    assert len(command.sampled(wanted(date(2026, 1, 2), date(2026, 1, 3)), BEGAN, BEGAN)) == 2


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (None, "No such file"),
        ("{", "Invalid JSON"),
        ('{"meetings": 2}', "meetings: Extra inputs"),
        ('{"dealSteps": [{"above": 1, "points": 2}, {"above": 9, "points": 1}]}', "fewer points"),
    ],
)
def test_a_file_without_weights_is_told_so(tmp_path: Path, written: str | None, told: str) -> None:
    file = tmp_path / "weights.json"
    if written is not None:
        file.write_text(written)

    with pytest.raises(SystemExit, match=told):
        command.read_table(file)
