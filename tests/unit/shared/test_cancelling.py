"""A cancellation that nobody asked for does not pass for a stop."""

import asyncio

import pytest

from shared import lifecycle
from shared.kafka import client


async def broken_off() -> None:
    """As a client that waits for a task of its own, which it has cancelled."""
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await task


async def waiting() -> None:
    await asyncio.Event().wait()


async def test_a_client_that_breaks_off_in_closing_is_let_go_of() -> None:
    assert isinstance(await client.ended(broken_off), asyncio.CancelledError)


async def test_a_client_that_never_closes_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEADLINE_S", 0.01)

    assert isinstance(await client.ended(waiting), TimeoutError)


async def test_who_is_cancelled_while_a_client_closes_is() -> None:
    closing = asyncio.create_task(client.ended(waiting))
    await asyncio.sleep(0)
    closing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_a_loop_that_breaks_off_ends_the_process_loudly() -> None:
    async def loop(_: asyncio.Event) -> None:
        await broken_off()

    with pytest.raises(ExceptionGroup) as raised:
        await lifecycle.run(loop, lifecycle.idle, stop=asyncio.Event(), grace_s=1)

    assert "cancelled from inside" in str(raised.value.exceptions[0])


async def test_a_loop_that_goes_on_past_the_deadline_of_a_stop_is_cancelled_quietly() -> None:
    async def loop(_: asyncio.Event) -> None:
        await waiting()

    stop = asyncio.Event()
    stop.set()

    await lifecycle.run(loop, stop=stop, grace_s=0.01)

    assert stop.is_set()


async def test_a_loop_that_waits_again_once_it_is_cancelled_does_not_hold_up_a_stop() -> None:
    ends = []

    async def loop(_: asyncio.Event) -> None:
        """As one that gives a connection back to a server that is silent."""
        try:
            await waiting()
        finally:
            try:
                await waiting()
            finally:
                ends.append("closed")

    async def loops(stop: asyncio.Event) -> None:
        await lifecycle.together([loop, loop], stop)

    stop = asyncio.Event()
    stop.set()

    async with asyncio.timeout(20):
        await lifecycle.run(loops, stop=stop, grace_s=0.01)

    assert ends == ["closed", "closed"]


async def test_what_is_left_undone_at_a_stop_leaves_clients_to_be_closed_as_ever() -> None:
    stop = asyncio.Event()

    async def read() -> str:
        stop.set()
        await waiting()
        return "all"

    assert await lifecycle.unless_stopped(read(), stop) is None
    assert isinstance(await client.ended(broken_off), asyncio.CancelledError)


async def test_what_is_done_before_a_stop_counts_and_so_does_its_own_failure() -> None:
    async def done() -> str:
        return "all"

    async def late() -> None:
        raise TimeoutError

    assert await lifecycle.unless_stopped(done(), asyncio.Event()) == "all"
    with pytest.raises(TimeoutError):
        await lifecycle.unless_stopped(late(), asyncio.Event())
