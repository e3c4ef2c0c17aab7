"""The query service's settings."""

from pydantic import AliasChoices, Field, SecretStr

from shared.settings import PostgresUrl, RedisUrl, StoreSettings


class QuerySettings(StoreSettings):
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    database_url: PostgresUrl = Field(
        SecretStr("postgresql://localhost:5432/my500"),
        validation_alias=AliasChoices("QUERY_DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the read model",
    )
    redis_url: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey that holds cached pages and their generations",
    )
    ingest_url: str | None = Field(
        None,
        description="URL of ingest for browsers; unset: INGEST_PORT on the host that served "
        "the page",
    )
    ingest_port: int = Field(
        8081, ge=1, le=65535, description="port of ingest for browsers, if INGEST_URL is unset"
    )
    scoring_url: str | None = Field(
        None,
        description="URL of scoring for browsers; unset: SCORING_PORT on the host that served "
        "the page",
    )
    scoring_port: int = Field(
        8083, ge=1, le=65535, description="port of scoring for browsers, if SCORING_URL is unset"
    )
    rate_limit_per_second: float = Field(
        500.0,
        ge=0,
        description="Postgres reads per second per user and process; 0: unlimited",
    )
    rate_limit_burst: int = Field(1000, ge=1, description="Postgres reads that a user can save up")
    slow_query_ms: float = Field(
        100.0, gt=0, description="slower statements are logged with their plan"
    )
    stale_samples_per_second: float = Field(
        1.0, ge=0, le=1000, description="cached pages compared with Postgres, per second; 0: none"
    )
