"""What is known so far about whether a token belongs to the company that it is configured for."""

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
        """One at a time: the others use its answer.

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
