"""Looks up host names in threads of their own.

Each company has a host name, and one whose name server is silent keeps a thread for ten seconds or
more. The event loop looks up Kafka, Postgres and Redis in few threads, uvloop in two: they would
wait for the names of any two companies. Nor may a lookup that goes on keep a process from ending,
as it would in a thread pool: those are waited for.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

T = TypeVar("T")

MOST: Final = 32
"""Lookups at the same time; the others wait. A name is looked up only once at a time."""


class Lookups(AbstractResolver):
    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MOST)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The host's addresses.

        Raises:
            OSError: there are none, or no name server answers.
            ValueError: this cannot be a name.
        """
        look_up = partial(
            socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        async with self._turns:
            found = await _in_a_thread(look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to do: a lookup cannot be ended, and keeps nobody."""


def _in_a_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # whoever waits may go, but the work goes on

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001  raised where it is waited for
            done.set_exception(error)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return asyncio.wrap_future(done)
