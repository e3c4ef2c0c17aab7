"""A connection to Kafka at the moment in which it is lost."""

import asyncio
import socket
import struct
from typing import Any

import uvloop
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

import shared.kafka.client  # noqa: F401  what is tested
from tests.support.infra import Infra
from tests.support.proxy import Proxy, Weather

AT_ONCE = struct.pack("ii", 1, 0)
WAIT_S = 20.0


class Resetting(Proxy):
    """Its connections end with a reset, not with a farewell."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        await super()._serve(reader, writer)


async def sent_as_it_is_lost(kafka: str) -> BaseException | None:
    """What a request is told between the loss and the client's notice of it."""
    host, _, port = kafka.partition(":")
    loop = asyncio.get_running_loop()
    found: asyncio.Future[BaseException | None] = loop.create_future()
    async with Resetting(host, int(port)) as relay:
        connection: Any = await create_conn("127.0.0.1", relay.port)
        reader = connection._reader
        lose = reader.set_exception

        def send() -> None:
            try:
                connection.send(MetadataRequest([]))
            except Exception as error:  # noqa: BLE001  it is what the test looks at
                found.set_result(error)
            else:
                found.set_result(None)

        def is_lost(error: Exception) -> None:
            lose(error)
            loop.call_soon(send)

        reader.set_exception = is_lost
        await relay.turn(Weather.REFUSED)
        async with asyncio.timeout(WAIT_S):
            return await found


def test_a_request_on_a_connection_that_has_just_been_reset_is_refused(infra: Infra) -> None:
    """In the services' event loop: uvloop answers with an error of its own kind."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error = runner.run(sent_as_it_is_lost(infra.kafka))

    assert isinstance(error, KafkaConnectionError)
