"""What waits in any spool of a process counts, and what was taken over goes when it is spent."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ingest.spool.file import NAME
from services.ingest.spool.rescue import CURRENT
from services.ingest.spool.spools import Spools
from shared import topics
from tests.unit.ingest.spool.test_spool import RECORDS, a_spool, everything, store

OWNS, OTHERS, NOBODYS = RECORDS[:3]


@pytest.fixture
async def spools(tmp_path: Path) -> AsyncIterator[Spools]:
    """One of its own and one taken over, each with a record."""
    own, other = a_spool(tmp_path), a_spool(tmp_path)
    made = Spools(own)
    made.adopt(other)
    for spool, record in ((own, OWNS), (other, OTHERS)):
        await spool.open()
        await store(spool, [record])
    yield made
    await made.close()


async def test_what_waits_in_any_of_them_counts(spools: Spools) -> None:
    held = [spools.holds(record) for record in (OWNS, OTHERS, NOBODYS)]

    assert held == [True, True, False]
    assert spools.events == 2
    assert spools.bytes == sum(spool.bytes for spool in spools)


async def test_a_person_does_not_wait_for_a_deal_of_the_same_id(spools: Spools) -> None:
    assert OWNS.topic != topics.DEALS.name
    assert not spools.holds(OWNS._replace(topic=topics.DEALS.name))


async def test_of_one_that_was_let_go_of_nothing_is_left(spools: Spools) -> None:
    [other] = spools.taken_over
    slot = other.slot
    assert slot is not None
    assert await everything(other) == [OTHERS]

    walked = [spool async for spool in _letting_go(spools)]

    assert walked == [spools.own, other]
    assert list(spools) == [spools.own]
    assert not (slot.folder / CURRENT / NAME).exists()


async def _letting_go(spools: Spools) -> AsyncIterator[object]:
    """Who walks through them meanwhile meets all that there were."""
    for spool in spools:
        for other in spools.taken_over:
            await spools.let_go(other)
        yield spool
