"""The tables of what is offered to users: there a moment after the door has opened.

Rule: readiness is the door's, which takes webhooks without Postgres. So whoever asks for what
needs the tables waits for them a little, and is told 503 only where something is wrong.
"""

import asyncio
from typing import Final

from shared.errors import Unavailable

PATIENCE_S: Final = 3.0


async def there(prepared: asyncio.Event, whose: str) -> None:
    """Raises:
    Unavailable: they are not there, and will not be in a moment.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            await prepared.wait()
    except TimeoutError:
        raise Unavailable(f"Postgres: the tables of {whose} are not there yet") from None
