"""A process holds as many connections as the system lets it, not as a shell does by itself."""

import subprocess
import sys

PROGRAM = """
import resource
from shared import lifecycle

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))

async def main():
    print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))

lifecycle.start(main())
"""


def test_a_process_may_open_as_many_files_as_the_system_lets_it() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert (process.returncode, process.stdout) == (0, "True\n"), process.stderr
