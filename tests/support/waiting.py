"""Waits for conditions, with a deadline: never for time to pass."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

POLL_S = 0.02


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = 60, *, every_s: float = POLL_S
) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: it did not come to hold in time.
    """
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  what is waited for happens elsewhere
            await asyncio.sleep(every_s)


async def answers(http: aiohttp.ClientSession, url: str, status: int = 200) -> bool:
    """Whether a service is there, and says so."""
    try:
        async with http.get(url) as response:
            return response.status == status
    except aiohttp.ClientError:
        return False
