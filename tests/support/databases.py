"""Databases for tests, each with the stores of all services as their migrations make them, empty.

To make one takes longer than most tests, so one that a test is done with is emptied for the next:
what was written goes, what Postgres knows of it, and every schema that is no store. Where anything
else is not as it was made, a column or an index, the database is dropped.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from devstack import postgres
from devstack.errors import StackError
from shared import migrating, service
from tests.support.infra import Infra, on_database

SERVICES = Path(service.__file__).parents[1] / "services"
STORES = ("ingest", "orgs", "query", "scoring")
FIRST = "16384"
"""From this number on, things in a database are not Postgres' own."""

ALONE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
EMPTIED = """
DO $$
DECLARE
    stores CONSTANT name[] := '{STORES}';
    strange name;
    written text;
BEGIN
    FOR strange IN
        SELECT nspname FROM pg_namespace
         WHERE nspname <> ALL (stores || '{public,information_schema}') AND nspname !~ '^pg_'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', strange);
    END LOOP;
    SELECT string_agg(pg_class.oid::regclass::text, ', ') INTO written
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = ANY (stores) AND relkind = 'r' AND relname <> 'schema_migrations'
       AND (pg_relation_size(pg_class.oid) > 0 OR reltuples >= 0);
    IF written IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || written;
    END IF;
    DELETE FROM pg_statistic WHERE starelid >= {FIRST};
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    INSERT INTO query.store DEFAULT VALUES;
    PERFORM pg_stat_reset();
END $$
""".replace("{STORES}", f"{{{','.join(STORES)}}}").replace("{FIRST}", FIRST)
# Statements that change a definition write its row anew: `xmin` tells. Those of tables are written
# as these are emptied, too.
MADE = """
SELECT md5(string_agg(concat_ws(' ', part, of, version), ',' ORDER BY part, of, version))
  FROM (SELECT 'table', oid, concat_ws(' ', relnamespace, relname, reloptions, relrowsecurity,
                                       CASE WHEN relkind = 'r' THEN reltuples END)
          FROM pg_class WHERE oid >= {FIRST}
  UNION SELECT 'column', attrelid, concat_ws(' ', attnum, xmin)
          FROM pg_attribute WHERE attrelid >= {FIRST}
  UNION SELECT 'index', indexrelid, xmin::text FROM pg_index WHERE indexrelid >= {FIRST}
  UNION SELECT 'constraint', oid, xmin::text FROM pg_constraint WHERE oid >= {FIRST}
  UNION SELECT 'trigger', oid, xmin::text FROM pg_trigger
  UNION SELECT 'function', oid, xmin::text FROM pg_proc WHERE oid >= {FIRST}
  UNION SELECT 'extension', oid, xmin::text FROM pg_extension
  UNION SELECT 'migrated', 0, concat_ws(' ', name, digest) FROM (
               SELECT * FROM ingest.schema_migrations UNION SELECT * FROM orgs.schema_migrations
         UNION SELECT * FROM query.schema_migrations UNION SELECT * FROM scoring.schema_migrations
               ) AS migrations
  UNION SELECT 'setting', setdatabase, setconfig::text FROM pg_db_role_setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
       ) AS found (part, of, version)
""".replace("{FIRST}", FIRST)


@dataclass
class Databases:
    infra: Infra
    template: str
    made: str
    """What `MADE` says of the template, and so of each that is like new."""
    free: list[str] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of one that nobody else uses meanwhile."""
        name = self.free.pop() if self.free else self._new()
        url = on_database(self.infra.database, name)
        try:
            yield url
        finally:
            if self._is_as_new(url):
                self.free.append(name)
            else:
                _drop(self.infra, name)

    def _is_as_new(self, url: str) -> bool:
        try:
            return _emptied(url) == self.made
        except StackError:  # some of what is to be emptied is no longer there
            return False

    def _new(self) -> str:
        name = _name()
        _create(self.infra, name, f"TEMPLATE {self.template}")
        return name

    @classmethod
    @asynccontextmanager
    async def of(cls, infra: Infra) -> AsyncIterator[Self]:
        template = _name()
        _create(infra, template)
        url = on_database(infra.database, template)
        for store in STORES:
            folders = (service.MIGRATIONS, SERVICES / store / "migrations")
            await migrating.migrate(url, store, folders)
        found = cls(infra, template, _emptied(url))
        try:
            yield found
        finally:
            for name in (template, *found.free):
                _drop(infra, name)


def _name() -> str:
    return f"test_{secrets.token_hex(6)}"


def _create(infra: Infra, name: str, more: str = "") -> None:
    postgres.ask(infra.database, f"CREATE DATABASE {name} {more} STRATEGY FILE_COPY")


def _drop(infra: Infra, name: str) -> None:
    postgres.ask(infra.database, f"DROP DATABASE {name} WITH (FORCE)")


def _emptied(url: str) -> str:
    return postgres.ask(url, f"{ALONE}; {EMPTIED}; {MADE}").splitlines()[-1]
