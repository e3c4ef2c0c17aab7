"""SQL that keeps the versions of published states growing through a rebuild.

Rule: a version is the time by its writer's clock. For states that both stores wrote recently, the
new one may have the lower version, and consumers would ignore what it publishes. So it takes over
the live store's version of equal states, and exceeds it where it publishes a different one.
"""

from typing import Final, Literal, NamedTuple

from shared.topics import Topic

LEVEL: Final = """
UPDATE {service}_next.{table} AS built
   SET published = held.published
  FROM {service}.{table} AS held
 WHERE built.company_id = held.company_id AND built.{column} = held.{column}
   AND built.published < held.published
"""

BEYOND: Final = """
WITH waiting AS (
    SELECT key, split_part(convert_from(key, 'UTF8'), ':', 1)::bigint AS company_id,
           split_part(convert_from(key, 'UTF8'), ':', 2)::{kind} AS {column}
      FROM {service}_next.outbox
     WHERE topic = '{topic}'
), raised AS (
    UPDATE {service}_next.{table} AS built
       SET published = held.published + 1
      FROM waiting
      JOIN {service}.{table} AS held USING (company_id, {column})
     WHERE built.company_id = waiting.company_id AND built.{column} = waiting.{column}
       AND built.published <= held.published
    RETURNING waiting.key, built.published
)
UPDATE {service}_next.outbox AS untold
   SET payload = convert_to(jsonb_set(convert_from(untold.payload, 'UTF8')::jsonb, '{{version}}',
                                      to_jsonb(raised.published))::text, 'UTF8')
  FROM raised
 WHERE untold.topic = '{topic}' AND untold.key = raised.key
"""


class Versions(NamedTuple):
    """For a table whose rows are published in a topic, keyed by tenant and one more column."""

    service: str
    table: str
    column: str
    kind: Literal["bigint", "uuid"]
    topic: Topic

    @property
    def level(self) -> str:
        """For `Plan.told`."""
        return self._of(LEVEL)

    @property
    def beyond(self) -> str:
        """For `Plan.carry`."""
        return self._of(BEYOND)

    def _of(self, template: str) -> str:
        return template.format(**{**self._asdict(), "topic": self.topic.name})
