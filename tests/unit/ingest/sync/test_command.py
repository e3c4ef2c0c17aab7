"""The connect command, where there is nothing that it could do."""

import os
import subprocess
import sys
from pathlib import Path

NOBODY = "127.0.0.1:1"


def test_who_has_no_token_is_told_so_without_waiting_for_servers_that_are_away(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.ingest", "connect", "--company", "1"],
        cwd=Path(__file__).parents[4],
        env={
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
            "DATABASE_URL": f"postgresql://{NOBODY}/none",
            "REDIS_URL": f"redis://{NOBODY}",
            "TENANTS_FILE": str(tmp_path / "none.json"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert "it has no API token" in ended.stderr.splitlines()[-1]
