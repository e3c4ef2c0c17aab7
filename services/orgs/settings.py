"""The orgs service's settings."""

from pydantic import AliasChoices, Field, SecretStr

from shared.settings import PostgresUrl, RedisUrl, StoreSettings


class OrgsSettings(StoreSettings):
    port: int = Field(8082, ge=0, le=65_535, description="port to listen on")
    database_url: PostgresUrl = Field(
        SecretStr("postgresql://localhost:5432/my500"),
        validation_alias=AliasChoices("ORGS_DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the organization store",
    )
    redis_url: RedisUrl = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey that counts Pipedrive tokens across processes",
    )
    search_pipedrive_seconds: float = Field(
        0.8,
        ge=0,
        le=10,
        description="longest that autocomplete waits for Pipedrive's search; 0: do not ask it",
    )
