"""What the query service is told by its environment."""

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
        description="Redis or Valkey that holds the cached pages, and their generations",
    )
    ingest_url: str | None = Field(
        None,
        description="where browsers find the ingest service; unset: at INGEST_PORT of the host "
        "that they asked this one for",
    )
    ingest_port: int = Field(
        8081, ge=1, le=65535, description="port that the ingest service has for browsers"
    )
    rate_limit_per_second: float = Field(
        500.0,
        ge=0,
        description="reads of Postgres that one user gets from a process; 0: as many as wanted",
    )
    rate_limit_burst: int = Field(1000, ge=1, description="reads a user can save up")
    slow_query_ms: float = Field(
        100.0, gt=0, description="a statement that takes longer is logged with its plan"
    )
    stale_samples_per_second: float = Field(
        1.0, ge=0, le=1000, description="cached pages compared with Postgres; 0: none"
    )
