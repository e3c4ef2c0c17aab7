"""What is left open where the store cannot be told that nobody works at it any more."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared import db
from shared.errors import Unavailable

log = logging.getLogger(__name__)


@contextmanager
def left_open(what: str) -> Iterator[None]:
    """Until its time is over. That the store is away is no more than said: what is being raised
    meanwhile says more.
    """
    try:
        with db.errors():
            yield
    except Unavailable as outage:
        log.warning("command_left_open", extra={"what": what, "reason": str(outage)})
