"""What the query service is told by its environment."""

from pydantic import AliasChoices, Field, SecretStr

from shared.settings import StoreSettings


class QuerySettings(StoreSettings):
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/my500"),
        validation_alias=AliasChoices("QUERY_DATABASE_URL", "DATABASE_URL"),
        description="Postgres of the read model",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis or Valkey that holds the cached pages",
    )
