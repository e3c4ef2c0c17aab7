"""Leaves a claim to expire where the store cannot be told that it is released."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared import db
from shared.errors import Unavailable

log = logging.getLogger(__name__)


@contextmanager
def left_open(what: str) -> Iterator[None]:
    """The claim expires by itself. The outage is only logged, since the exception that is being
    raised says more.
    """
    try:
        with db.errors():
            yield
    except Unavailable as outage:
        log.warning("command_left_open", extra={"what": what, "reason": str(outage)})
