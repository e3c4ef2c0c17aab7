"""The scoring service's settings."""

from pydantic import AliasChoices, Field, SecretStr

from shared.settings import PostgresUrl, StoreSettings


class ScoringSettings(StoreSettings):
    port: int = Field(8083, ge=0, le=65535, description="port to listen on")
    database_url: PostgresUrl = Field(
        SecretStr("postgresql://localhost:5432/my500"),
        validation_alias=AliasChoices("SCORING_DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the scoring store",
    )
    score_history_days: int = Field(
        400,
        ge=1,
        le=365_000,  # no calendar goes back much further
        description="minimum days to keep the score history",
    )
