"""What of the environment is refused, and what is never said of it."""

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
        "redis://cache",
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
