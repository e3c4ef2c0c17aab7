"""SQL that lets the versions of what is told grow through a rebuild.

Rule: a version is the time by the clock of whoever wrote it. Of what both stores wrote of late,
the one that is built may have the lower one, and readers would pass over what it tells. So it
takes the live store's version of what they hold alike, and goes beyond it where it tells anew.
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
    """Those in a table whose rows are told in a topic, under the tenant and one column more."""

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
