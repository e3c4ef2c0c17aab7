"""How a loop waits out what it needs, again and again."""

import asyncio

import pytest

from shared import lifecycle
from shared.errors import Unavailable
from shared.lifecycle import FIRST_WAIT_S, LONGEST_WAIT_S, Outage, Works

AWAY = Unavailable("Postgres is away")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "shared.lifecycle"]


def test_the_next_outage_begins_with_a_short_wait_and_a_word() -> None:
    outage = Outage("a loop")
    long = [outage.goes_on(AWAY) for _ in range(20)][-1]

    outage.is_over()

    assert long > LONGEST_WAIT_S / 4 > FIRST_WAIT_S >= outage.goes_on(AWAY)


async def test_each_outage_of_a_session_is_told_once_each_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = asyncio.Event()
    works_of = iter([False, False, True, True, False, True])

    async def session(works: Works) -> None:
        is_well = next(works_of, None)
        if is_well is None:
            stop.set()
            return
        if is_well:
            works()
        raise AWAY

    await lifecycle.sessions(session, stop, what="a loop")

    began, ended = "outage_began", "outage_ended"
    assert told(caplog) == [began, ended, began, ended, began, ended, began]
