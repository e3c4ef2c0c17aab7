"""What is tried each second is said once."""

from pathlib import Path

import pytest

from services.ingest.spool.spools import Spools
from services.ingest.spool.tending import Tending
from tests.unit.ingest.spool.test_spool import a_spool


async def test_a_spool_that_cannot_be_opened_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "spool"
    place.write_bytes(b"in its place")
    spools = Spools(a_spool(place))
    tending = Tending(spools, place)

    for _ in range(3):
        await tending.open_own()
    place.unlink()
    await tending.open_own()

    assert [record.message for record in caplog.records] == ["spool_not_opened"]
    assert spools.own.is_open
    await spools.close()
