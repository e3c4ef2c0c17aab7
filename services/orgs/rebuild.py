"""How the organization store is rebuilt: `python -m services.orgs rebuild`.

What the live store has published and its replacement would publish again is not repeated: else
every consumer would get every organization and every contact.
"""

from collections.abc import Sequence
from typing import Final

from services.orgs import applying, relinking
from services.orgs.main import CONSUMED, MIGRATIONS, SERVICE
from services.orgs.searching.upkeep import upkeep
from services.orgs.settings import OrgsSettings
from shared import db, lifecycle, topics
from shared.observability import configure_logs
from shared.rebuild import command
from shared.rebuild.plan import Plan
from shared.rebuild.versions import Versions
from shared.settings import told

# A state that changes while this runs has moved by then, and stays.
SAME_ORGANIZATIONS: Final = """
WITH waiting AS (
    SELECT company_id, organization_id FROM orgs_next.untold
     UNION
    SELECT split_part(convert_from(key, 'UTF8'), ':', 1)::bigint,
           split_part(convert_from(key, 'UTF8'), ':', 2)::uuid
      FROM orgs_next.outbox
     WHERE topic = 'orgs.organizations'
), same AS (
    SELECT company_id, organization_id, names.key
      FROM waiting
      JOIN orgs_next.organizations AS built USING (company_id, organization_id)
      JOIN orgs.organizations AS held USING (company_id, organization_id)
     CROSS JOIN LATERAL (
           SELECT convert_to(company_id || ':' || organization_id, 'UTF8') AS key) AS names
     WHERE to_jsonb(built) - 'published' = to_jsonb(held) - 'published'
       AND NOT EXISTS (SELECT FROM orgs.outbox AS untold
                        WHERE untold.topic = 'orgs.organizations' AND untold.key = names.key)
       AND NOT EXISTS (SELECT FROM orgs.untold
                        WHERE untold.company_id = built.company_id
                          AND untold.organization_id = built.organization_id)
), told AS (
    DELETE FROM orgs_next.untold AS each
     USING same
     WHERE each.company_id = same.company_id AND each.organization_id = same.organization_id
)
DELETE FROM orgs_next.outbox AS each
 USING same
 WHERE each.topic = 'orgs.organizations' AND each.key = same.key
"""
SAME_LINKS: Final = """
DELETE FROM orgs_next.outbox AS told
 USING (SELECT waiting.place
          FROM orgs_next.outbox AS waiting
          JOIN orgs_next.contacts AS built
            ON waiting.key = convert_to(built.company_id || ':' || built.person_id, 'UTF8')
          JOIN orgs.contacts AS held USING (company_id, person_id)
         WHERE waiting.topic = 'orgs.contact-links'
           AND built.organization_id IS NOT DISTINCT FROM held.organization_id
           AND NOT EXISTS (SELECT FROM orgs.outbox AS untold
                            WHERE untold.topic = waiting.topic AND untold.key = waiting.key)
       ) AS same
 WHERE told.place = same.place
"""
VERSIONS: Final = (
    Versions(SERVICE, "organizations", "organization_id", "uuid", topics.ORG_STATES),
    Versions(SERVICE, "contacts", "person_id", "bigint", topics.CONTACT_LINKS),
)
# Totals that wait, as in `telling.py`. They are published under the version that their row has
# then, which must be beyond what either store has published or has waiting.
KEEP_UNTOLD: Final = """
INSERT INTO orgs_next.untold
SELECT held.*
  FROM orgs.untold AS held
  JOIN orgs_next.organizations USING (company_id, organization_id)
    ON CONFLICT DO NOTHING
"""
KEEP_UNTOLD_COMPANIES: Final = """
INSERT INTO orgs_next.untold_companies
SELECT * FROM orgs.untold_companies
    ON CONFLICT DO NOTHING
"""
UNTOLD_BEYOND: Final = """
UPDATE orgs_next.organizations AS built
   SET published = greatest(built.published, held.published) + 1
  FROM orgs_next.untold
  JOIN orgs.organizations AS held USING (company_id, organization_id)
 WHERE built.company_id = untold.company_id AND built.organization_id = untold.organization_id
"""
# Other code may group differently. An organization without a row after all has been read no longer
# exists, and leads nowhere: that is published, once its row says so, too.
END_OTHERS: Final = """
WITH ended AS (
    INSERT INTO orgs_next.organizations (company_id, organization_id, contact_count, deleted,
                                         published)
    SELECT company_id, organization_id, 0, true, published + 1
      FROM orgs.organizations AS held
     WHERE (NOT deleted OR merged_into IS NOT NULL)
       AND NOT EXISTS (SELECT FROM orgs_next.organizations AS built
                        WHERE built.company_id = held.company_id
                          AND built.organization_id = held.organization_id)
    RETURNING company_id, organization_id, published
)
INSERT INTO orgs_next.outbox (topic, key, payload)
SELECT 'orgs.organizations', convert_to(company_id || ':' || organization_id, 'UTF8'),
       convert_to(jsonb_build_object('version', published, 'company_id', company_id,
                                     'organization_id', organization_id, 'deleted', true)::text,
                  'UTF8')
  FROM ended
"""
# Ids that were an organization's for a while, between two batches, and lead nowhere. They depend
# on where batches were cut, not on the log alone. They may come back: versions continue.
KEEP_FORMER_IDS: Final = """
INSERT INTO orgs_next.organizations
SELECT held.*
  FROM orgs.organizations AS held
 WHERE held.deleted
    ON CONFLICT DO NOTHING
"""

# People keep their present questions while the worker goes through all records again.
KEEP_QUESTIONS: Final = (
    "INSERT INTO orgs_next.reviews SELECT * FROM orgs.reviews ON CONFLICT DO NOTHING"
)


async def main(words: Sequence[str]) -> None:
    chosen = command.arguments(SERVICE, words)
    settings = told(OrgsSettings)
    configure_logs("WARNING")
    await command.run(plan(settings), chosen)


def plan(settings: OrgsSettings) -> Plan:
    return Plan(
        SERVICE,
        settings.database_url.get_secret_value(),
        settings,
        MIGRATIONS,
        CONSUMED,
        applying.apply,
        loops=_loops,
        settled=relinking.settled,
        told=(SAME_ORGANIZATIONS, SAME_LINKS, *(each.level for each in VERSIONS)),
        carry=(
            *(each.beyond for each in VERSIONS),
            KEEP_UNTOLD,
            KEEP_UNTOLD_COMPANIES,
            UNTOLD_BEYOND,
            END_OTHERS,
            KEEP_FORMER_IDS,
            KEEP_QUESTIONS,
        ),
    )


def _loops(pool: db.Pool) -> Sequence[lifecycle.Loop]:
    return (relinking.relinking(pool), upkeep(pool))
