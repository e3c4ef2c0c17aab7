"""How the warmness store is rebuilt: `python -m services.scoring rebuild`.

Scores follow from the log, the time and the rates; their history does not: it is copied as it is,
and what the rebuild wrote of its own is dropped. Where a score differs from before, other code or
settings read the log: then the cause is the rebuild.
"""

from collections.abc import Sequence
from typing import Final

from services.scoring.consumer import Scorer
from services.scoring.main import CONSUMED, MIGRATIONS, SERVICE
from services.scoring.rescoring import Rescorer
from services.scoring.settings import ScoringSettings
from services.scoring.ticker import Ticker
from shared import db, lifecycle, topics
from shared.observability import configure_logs
from shared.rebuild import command
from shared.rebuild.plan import Plan
from shared.rebuild.versions import Versions
from shared.settings import told
from shared.tenants import Tenants

# Scores depend on the rates in force, not on those of the file.
SAME_RATES: Final = """
INSERT INTO scoring_next.currency_rates AS built
SELECT * FROM scoring.currency_rates
    ON CONFLICT (company_id) DO UPDATE SET rates = EXCLUDED.rates
 WHERE built.rates IS DISTINCT FROM EXCLUDED.rates
"""
# If they changed while the store was built, its contacts are scored once more.
RESCORE_FOR_RATES: Final = """
INSERT INTO scoring_next.rescorings (company_id, cause, asked_at)
SELECT company_id, 'rates', now()
  FROM scoring.currency_rates AS held
  LEFT JOIN scoring_next.currency_rates AS built USING (company_id)
 WHERE built.rates IS DISTINCT FROM held.rates
    ON CONFLICT (company_id) DO UPDATE
   SET cause = EXCLUDED.cause, asked_at = EXCLUDED.asked_at, started_at = NULL, moved_at = NULL,
       finished_at = NULL, last_person_id = -1, total = NULL, done = 0
"""
# A state that changes while this runs has moved by then, and stays.
SAME_SCORES: Final = """
DELETE FROM scoring_next.outbox AS told
 USING (SELECT waiting.place
          FROM scoring_next.outbox AS waiting
          JOIN scoring_next.contacts AS built
            ON waiting.key = convert_to(built.company_id || ':' || built.person_id, 'UTF8')
          JOIN scoring.contacts AS held USING (company_id, person_id)
         WHERE waiting.topic = 'scoring.scores'
           AND (built.score, built.points, built.last_contacted, built.next_change_at)
               IS NOT DISTINCT FROM
               (held.score, held.points, held.last_contacted, held.next_change_at)
           AND NOT EXISTS (SELECT FROM scoring.outbox AS untold
                            WHERE untold.topic = waiting.topic AND untold.key = waiting.key)
       ) AS same
 WHERE told.place = same.place
"""
KEEP_HISTORY: Final = (
    "DROP TABLE scoring_next.score_changes CASCADE",
    """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN
        SELECT inhrelid FROM pg_inherits WHERE inhparent = 'scoring.score_changes'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s SET SCHEMA scoring_next', part);
    END LOOP;
END $$
""",
    "ALTER TABLE scoring.score_changes SET SCHEMA scoring_next",
)
VERSIONS: Final = Versions(SERVICE, "contacts", "person_id", "bigint", topics.SCORES)
# For what waits to be published, once the history is here and no version conflicts with it. What
# changed by time alone in the live store meanwhile, the new one computes by itself.
TELL_DIFFERENCES: Final = """
INSERT INTO scoring_next.score_changes (
       company_id, person_id, at, version, old_score, new_score, points, cause, weights_version)
SELECT company_id, person_id, statement_timestamp(), built.published, held.score, built.score,
       built.points, 'rebuild',
       (SELECT count(*) + 1 FROM scoring_next.decided_weights AS decided
         WHERE decided.company_id = built.company_id)
  FROM scoring_next.outbox AS waiting
  JOIN scoring_next.contacts AS built
    ON built.company_id = split_part(convert_from(waiting.key, 'UTF8'), ':', 1)::bigint
   AND built.person_id = split_part(convert_from(waiting.key, 'UTF8'), ':', 2)::bigint
  LEFT JOIN scoring.contacts AS held USING (company_id, person_id)
 WHERE waiting.topic = 'scoring.scores'
   AND built.score IS NOT NULL AND built.score IS DISTINCT FROM held.score
"""
ALL_RESCORED: Final = "SELECT NOT EXISTS (SELECT FROM rescorings WHERE finished_at IS NULL)"


async def main(words: Sequence[str]) -> None:
    chosen = command.arguments(SERVICE, words)
    settings = told(ScoringSettings)
    configure_logs("WARNING")
    await command.run(plan(settings), chosen)


def plan(settings: ScoringSettings) -> Plan:
    tenants = Tenants(settings.tenants_file)

    def loops(pool: db.Pool) -> Sequence[lifecycle.Loop]:
        return (Ticker(pool, tenants).run, Rescorer(pool, tenants).run, tenants.watch)

    return Plan(
        SERVICE,
        settings.database_url.get_secret_value(),
        settings,
        MIGRATIONS,
        CONSUMED,
        Scorer(tenants).apply,
        loops=loops,
        settled=_is_rescored,
        begin=(SAME_RATES,),
        told=(SAME_SCORES, VERSIONS.level),
        carry=(
            RESCORE_FOR_RATES,
            SAME_RATES,
            *KEEP_HISTORY,
            VERSIONS.beyond,
            TELL_DIFFERENCES,
        ),
    )


async def _is_rescored(pool: db.Pool) -> bool:
    with db.errors():
        done: bool = await pool.fetchval(ALL_RESCORED)
        return done
