"""A process that is stuck ends, whatever hangs in it; one that waits does not."""

import subprocess
import sys

import pytest

from shared.lifecycle import STUCK

PROGRAM = """
import asyncio, logging, time
from shared import heart, lifecycle

logging.basicConfig(format="%(message)s %(loops)s")
heart.PATIENCE_S = 1.5

async def hangs(stop):
    await asyncio.Event().wait()

async def blocks(stop):
    time.sleep(600)

async def waits(stop):
    await lifecycle.wait_or_stop({waits_s}, stop)
    stop.set()

async def main():
    await lifecycle.run({loops}, stop=asyncio.Event(), grace_s=0.1, stuck_s=1.0)

asyncio.run(main())
"""


def ended(loops: str, waits_s: float) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(loops=loops, waits_s=waits_s)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("stuck", ["hangs", "blocks"])
def test_a_process_of_which_a_loop_is_stuck_ends_and_says_which(stuck: str) -> None:
    process = ended(f"waits, {stuck}", waits_s=600)

    assert process.returncode == STUCK
    assert f"stuck ['{stuck}']" in process.stderr


def test_a_process_that_waits_does_not_end_by_itself() -> None:
    process = ended("waits", waits_s=4)

    assert (process.returncode, process.stderr) == (0, "")
