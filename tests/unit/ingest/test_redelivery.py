"""A webhook that is read again is as old as it was."""

from datetime import UTC, datetime

import orjson
import pytest

from services.ingest import redelivery
from shared.dlq import letters
from shared.dlq.letters import Letter
from shared.events import PersonChange, parse
from shared.kafka.dead_letters import Origin, letter
from shared.topics import WEBHOOKS
from tests.unit.ingest.bodies import COMPANY, v2

CAME = datetime(2026, 5, 27, 7, tzinfo=UTC)
MICROS = 1_779_865_200_000_000
WITHOUT_TIME = v2("person", {"id": 8, "name": "Ann"}, timestamp=None)


def a_letter(value: bytes, *, came: datetime = CAME) -> Letter:
    poison = letter(Origin(WEBHOOKS), key=b"%d:x" % COMPANY, value=value, reason="a bug", now=came)
    return letters.read(poison.topic, (0, 0), (poison.key, poison.value), poison.headers)


def test_a_body_that_tells_no_time_is_of_the_moment_when_it_came() -> None:
    change = parse(PersonChange, redelivery.record(a_letter(WITHOUT_TIME)).value)

    assert (change.version, change.occurred_at, change.received_at) == (MICROS, CAME, CAME)


@pytest.mark.parametrize(
    "body", [b"{", orjson.dumps({"meta": {}}), v2("person", {}, company_id=1)]
)
def test_what_is_put_aside_again_still_tells_when_it_came(body: bytes) -> None:
    again = redelivery.record(a_letter(body))

    told = letters.read(again.topic, (0, 1), (again.key, again.value), again.headers)
    assert told.time == CAME


def test_a_letter_without_a_time_beats_nothing() -> None:
    dead = a_letter(WITHOUT_TIME, came=letters.EARLIEST)

    assert parse(PersonChange, redelivery.record(dead).value).version == 0
