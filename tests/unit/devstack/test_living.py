"""The live trickle of a company that tells its registered webhooks alone."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from devstack.pipedrive import progress
from devstack.pipedrive.api import living
from devstack.pipedrive.api.double import Double, Setup
from devstack.pipedrive.progress import Identity
from devstack.pipedrive.world import Sizes

COMPANY = 7001
SIZES = Sizes(2, 10, 4, 1.0)
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
RATE = 2.0


async def begun(state: Path) -> tuple[Double, progress.Progress, living.Life]:
    done = progress.load(state, Identity(COMPANY, 1, SIZES), NOW)
    double = Double(Setup(COMPANY, "token", sizes=SIZES, epoch=done.epoch))
    return double, done, await living.lived(double.account, done, rate=RATE, state=state)


async def test_it_begins_when_it_is_started_however_long_the_history_is(tmp_path: Path) -> None:
    _, done, life = await begun(tmp_path)

    first = next(life)

    assert first.at - done.segments[0].start < timedelta(seconds=1 / RATE)


async def test_it_goes_on_where_an_earlier_run_stopped(tmp_path: Path) -> None:
    double, done, life = await begun(tmp_path)
    told = list(islice(life, 7))
    for change in told:
        done.begin(change.number)
        await double.account.tell(change)
        done.settle(change.number)
    progress.save(tmp_path, done)

    again, _, rest = await begun(tmp_path)

    assert again.account.tables.counts() == double.account.tables.counts()
    assert next(rest).number == told[-1].number + 1
