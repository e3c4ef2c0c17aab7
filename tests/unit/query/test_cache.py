"""The pages that a process keeps in its memory."""

import tracemalloc

from services.query.batch import User
from services.query.cache import Memory, Origin, Page, Served
from services.query.encoding import Content
from services.query.generation import Now, Part, View, fresh

MOST_BYTES = 4 * 1024 * 1024


def test_pages_on_which_nothing_is_found_take_no_more_memory_than_there_is() -> None:
    memory = Memory(MOST_BYTES)
    tracemalloc.start()

    for number in range(10_000):
        now = Now(fresh(), fresh(), fresh(), fresh())
        body = b'{"success":true,"data":{"contacts":[],"organizations":[]}' + fresh()
        served = Served(Content(body), Origin.CACHE, f'W/"{number}"', now.tag, 0.0)
        part = Part(User(number, number), View.CONTACTS)
        memory.put((part, f"g:8:nobody {number}"), Page(now, served))

    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert MOST_BYTES / 2 < held < MOST_BYTES
