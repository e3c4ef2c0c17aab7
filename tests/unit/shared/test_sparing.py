"""What is dear is made for many at once, and so many times a second."""

import asyncio

from shared import sparing
from shared.sparing import Sparing


class Dear:
    def __init__(self) -> None:
        self.made = 0
        self.may_end = asyncio.Event()

    async def make(self) -> int:
        self.made += 1
        made = self.made
        await self.may_end.wait()
        return made


async def test_who_asks_while_it_is_made_gets_what_comes_of_that() -> None:
    dear = Dear()
    spared = Sparing(dear.make)

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(spared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        dear.may_end.set()

    assert [each.result() for each in asking] == [1] * 50


async def test_who_asks_more_often_than_it_may_be_made_gets_the_last() -> None:
    dear = Dear()
    dear.may_end.set()
    looks = iter([7.5] * 50 + [8.0])
    spared = Sparing(dear.make, clock=lambda: next(looks))
    await spared.get()

    within = [await spared.get() for _ in range(50)]

    assert within == [*range(2, sparing.MOST + 2), *[sparing.MOST + 1] * (50 - sparing.MOST)]
    assert await spared.get() == sparing.MOST + 2


async def test_who_gives_up_waiting_takes_it_from_nobody() -> None:
    dear = Dear()
    spared = Sparing(dear.make)
    impatient, patient = (asyncio.ensure_future(spared.get()) for _ in range(2))
    await asyncio.sleep(0)

    impatient.cancel()
    await asyncio.wait([impatient])
    dear.may_end.set()

    assert await patient == 1
