"""The shape of what we write into JSON and read from it. Pure."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Json(BaseModel):
    """A body of ours: camelCase outside, snake_case inside, and no name that is not known."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )
