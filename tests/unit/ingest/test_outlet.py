"""What is said of a Kafka that comes and goes."""

import logging

import pytest

from services.ingest import outlet as module
from services.ingest.outlet import Outlet
from services.ingest.spool.slots import Slot
from services.ingest.spool.spool import Spool
from services.ingest.spool.spools import Spools
from shared.kafka.publisher import Publisher
from shared.settings import Settings


def no_slot() -> Slot:
    raise AssertionError("the spool is not opened")


async def test_a_kafka_that_is_slow_again_and_again_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools = Spools(Spool(no_slot, max_bytes=0))
    outlet = Outlet(Publisher(Settings(), deadline_s=1.0), spools, deadline_s=0.25)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            outlet.regain()
            outlet.lose("no acknowledgement within 0.25 s")
            assert outlet.away
        outlet.regain()
        outlet.regain()
        assert [record.message for record in caplog.records] == ["kafka_away"]

        monkeypatch.setattr(module, "STEADY_S", 0.0)
        outlet.regain()
        outlet.lose("no acknowledgement within 0.25 s")

    assert [record.message for record in caplog.records] == [
        "kafka_away",
        "kafka_back",
        "kafka_away",
    ]
