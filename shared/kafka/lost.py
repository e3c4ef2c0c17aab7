"""Requests on connections that were lost a moment ago.

Between a reset and the client's notice of it lie a few turns of the event loop. asyncio's own loop
takes what is written then and drops it; uvloop raises `RuntimeError`, which the client does not
expect: it ended the process, or whichever of the client's tasks wanted to send.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Any = AIOKafkaConnection.send


def _sent(self: Any, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection is lost: {error}") from error


def expect() -> None:
    """Have the client treat them as it treats any lost connection."""
    AIOKafkaConnection.send = _sent  # type: ignore[method-assign]  # no other way to its requests
