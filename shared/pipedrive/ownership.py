"""Whether a token speaks for the company that it is filed under: what is known of it by now."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.pipedrive.errors import Unavailable


@dataclass(slots=True)
class Ownership:
    """`is_ours` is null until Pipedrive has been asked. All clients with the token share it."""

    is_ours: bool | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def turn(self, due: float) -> AsyncIterator[None]:
        """For one at a time: the others learn from its answer.

        Raises:
            Unavailable: that would be too late.
        """
        try:
            async with asyncio.timeout(due - time.monotonic()):
                await self._asking.acquire()
        except TimeoutError as error:
            raise Unavailable("Pipedrive: the API token's company is not known yet") from error
        try:
            yield
        finally:
            self._asking.release()
