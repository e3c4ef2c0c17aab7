"""What of the environment is refused, and what is never said of it."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.ingest.settings import IngestSettings
from services.query.settings import QuerySettings
from services.scoring.settings import ScoringSettings


@pytest.mark.parametrize("character", "/?#")
def test_a_password_that_would_be_taken_for_something_else_is_refused_unsaid(
    character: str,
) -> None:
    with pytest.raises(ValidationError) as refused:
        ScoringSettings(DATABASE_URL=f"postgresql://u:SEKRIT{character}pw@db:5432/x")
    with pytest.raises(ValidationError):
        QuerySettings(redis_url=f"redis://:SEKRIT{character}pw@cache:6379/0")

    assert "%2F" in str(refused.value)
    assert "SEKRIT" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%2Fw@db:5432/x",
        "postgresql://u:p@one:5432,two:5433/x",
        "postgresql:///x?host=/run/postgresql",
    ],
)
def test_other_urls_are_the_drivers_to_read(url: str) -> None:
    assert ScoringSettings(DATABASE_URL=url).database_url.get_secret_value() == url


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = IngestSettings.model_fields
    for name in fields.keys() - {"database_url"}:
        monkeypatch.setenv(name.upper(), "")
    monkeypatch.setenv("INGEST_DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@db/x")

    found = IngestSettings()

    assert found.database_url.get_secret_value() == "postgresql://u@db/x"
    given = found.model_dump(exclude={"database_url"})
    assert given == {name: fields[name].default for name in given}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "abc"),
        ("LOG_LEVEL", "debug"),
        ("JWT_SECRET", ""),
        ("REDIS_URL", "nonsense"),
        ("KAFKA_BOOTSTRAP_SERVERS", "x:xx"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://db/x"),
        ("DATABASE_URL", "postgresql://db/x?sslmode=foo"),
        ("PORT", "taken"),
    ],
)
def test_what_cannot_work_is_told_in_a_sentence(variable: str, value: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = str(taken.getsockname()[1]) if value == "taken" else value
        ended = subprocess.run(
            [sys.executable, "-m", "services.query"],
            cwd=Path(__file__).parents[3],
            env={
                "PATH": os.environ["PATH"],
                "HOST": "127.0.0.1",
                "JWT_SECRET": "x" * 40,
                variable: given,
            },
            capture_output=True,
            check=False,
        )

    [line] = ended.stderr.splitlines()
    told = json.loads(line)
    assert (ended.returncode, told["message"]) == (78, "misconfigured")
    assert variable in re.findall(r"\w+", told["reason"])


@pytest.mark.parametrize(
    "command",
    [
        ("services.query", "rebuild"),
        ("services.orgs", "rebuild"),
        ("services.scoring", "rebuild"),
        ("services.scoring", "backtest", "--company", "1", "--weights", "WEIGHTS"),
        ("services.ingest", "connect", "--company", "1"),
        ("services.ingest", "redeliver"),
        ("shared.dlq", "list"),
    ],
)
def test_commands_tell_it_as_the_services_do(command: Sequence[str], tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text("{}")
    words = [str(weights) if word == "WEIGHTS" else word for word in command]
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=Path(__file__).parents[3],
        env={"PATH": os.environ["PATH"], "KAFKA_BOOTSTRAP_SERVERS": "x:xx"},
        capture_output=True,
        check=False,
    )

    [line] = ended.stderr.splitlines()
    told = json.loads(line)
    assert (ended.returncode, told["message"]) == (78, "misconfigured")
    assert "KAFKA_BOOTSTRAP_SERVERS" in told["reason"]
