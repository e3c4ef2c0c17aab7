"""JSON logs with bound ids, and the catalogue of every metric.

Rule 1: a log line is a constant message with fields; ids are bound by `bound`, never formatted in.
Rule 2: a metric's labels are bounded: topics, routes, reasons; never an id.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from shared.answered import Answered

_BOUND: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039  never mutated
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

LONGEST_TEXT: Final = 16 * 1024
"""Characters of a text in a log line: what a sender wrote may be a megabyte, and log collectors
drop lines of that length.
"""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HTTP: Final = Answered(SECONDS)
REGISTRY.register(HTTP)
WEBHOOKS: Final = Counter(
    "my500_ingest_webhooks_total", "Webhooks by outcome and entity", ["outcome", "entity"]
)
PUBLISH_SECONDS: Final = Histogram(
    "my500_kafka_publish_seconds", "Time from hand-over to acks=all", ["outcome"], buckets=SECONDS
)
PRODUCER_REBUILDS: Final = Counter(
    "my500_kafka_producer_rebuilds_total", "Kafka producers discarded and recreated"
)
KAFKA_AWAY: Final = Gauge(
    "my500_ingest_kafka_away", "1 while Kafka does not accept records and they go to the spool"
)
SPOOL_EVENTS: Final = Gauge("my500_spool_events", "Records waiting in the spool")
SPOOL_BYTES: Final = Gauge("my500_spool_bytes", "Bytes of the records waiting in the spool")
SPOOL_AGE: Final = Gauge(
    "my500_spool_oldest_seconds", "Age of the oldest record in the spool; 0 if empty"
)
SPOOL_STORED: Final = Counter("my500_spool_stored_total", "Records stored in the spool")
SPOOL_DRAINED: Final = Counter("my500_spool_drained_total", "Spooled records accepted by Kafka")
SPOOL_REFUSED: Final = Counter(
    "my500_spool_refused_total", "Records refused by the spool", ["reason"]
)
SPOOL_HELD: Final = Counter(
    "my500_spool_held_total", "Spooled records that Kafka refused while it accepted others"
)
SPOOL_DAMAGED: Final = Counter("my500_spool_damaged_total", "Damaged spool files moved aside")
SPOOL_COMMIT_SECONDS: Final = Histogram(
    "my500_spool_commit_seconds",
    "Duration of one commit to the spool, fsync included",
    buckets=SECONDS,
)
RECORDS: Final = Counter(
    "my500_consumer_records_total", "Records applied in committed transactions", ["topic"]
)
BATCH_SECONDS: Final = Histogram(
    "my500_consumer_batch_seconds",
    "Duration of one batch, from hand-over to commit",
    buckets=SECONDS,
)
LAG: Final = Gauge("my500_consumer_lag_records", "Records behind the end of the topic", ["topic"])
DEAD_LETTERS: Final = Counter(
    "my500_dead_letters_total", "Poison records sent to the dead-letter topic", ["topic"]
)
LINE_STOPPED: Final = Gauge(
    "my500_line_stopped", "1 while the dead-letter limit has stopped the consumer"
)
CONSUMER_RESTARTS: Final = Counter(
    "my500_consumer_restarts_total", "Consumers recreated within the process", ["reason"]
)
OUTAGE_WAITS: Final = Counter(
    "my500_outage_waits_total", "Waits because Kafka or Postgres was down", ["loop"]
)
OUTBOX_PUBLISHED: Final = Counter(
    "my500_outbox_published_total", "States published from the outbox", ["topic"]
)
OUTBOX_PENDING: Final = Gauge("my500_outbox_pending_states", "States in the relay's current batch")
PAGES: Final = Counter("my500_query_pages_total", "Pages served, by origin", ["route", "origin"])
PAGE_READS: Final = Counter(
    "my500_query_page_reads_total",
    "Pages read from Postgres; requests that wait for such a read do not count",
    ["route"],
)
READS_RUNNING: Final = Gauge("my500_query_reads_running", "Postgres reads in progress")
REFUSED: Final = Counter(
    "my500_query_refused_total",
    "Reads refused because of a user's rate limit or overload",
    ["reason"],
)
SLOW_STATEMENTS: Final = Counter(
    "my500_query_slow_statements_total", "Statements slower than SLOW_QUERY_MS"
)
SAMPLED_PAGES: Final = Counter(
    "my500_query_sampled_pages_total",
    "Cached pages compared with Postgres after being served, by outcome",
    ["outcome"],
)
STALE_PAGES: Final = Counter(
    "my500_query_stale_pages_total", "Sampled pages that differed from Postgres", ["route"]
)
STALE_PAGE_AGE: Final = Histogram(
    "my500_query_stale_page_age_seconds",
    "Age in the cache of pages found stale",
    buckets=(0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 120.0, 300.0),
)
CACHE_ERRORS: Final = Counter("my500_query_cache_errors_total", "Failed calls to Redis", ["call"])
PIPEDRIVE_CALLS: Final = Counter(
    "my500_pipedrive_calls_total", "Calls to Pipedrive's REST API", ["endpoint", "outcome"]
)
PIPEDRIVE_SECONDS: Final = Histogram(
    "my500_pipedrive_call_seconds",
    "Duration of one call, without waits for limits",
    buckets=SECONDS,
)
PIPEDRIVE_TOKENS: Final = Counter(
    "my500_pipedrive_tokens_total",
    "Pipedrive tokens of the daily budget used by this process",
    ["purpose"],
)
SYNC_ROWS: Final = Counter(
    "my500_sync_rows_total", "Rows of Pipedrive's lists: read, changed, failed", ["list", "what"]
)
SYNC_HELD: Final = Counter(
    "my500_sync_held_seconds_total", "Time that syncs waited for lagging consumers"
)
SYNCS: Final = Counter(
    "my500_syncs_total", "Finished syncs, by mode and outcome", ["mode", "outcome"]
)
HOOKS_MENDED: Final = Counter(
    "my500_hooks_mended_total", "Webhooks registered again at Pipedrive", ["reason"]
)
SEARCH_INDEXED: Final = Counter(
    "my500_query_search_indexed_total", "Contacts updated in the search index"
)
SEARCH_QUEUED: Final = Gauge(
    "my500_query_search_queued", "Contacts waiting to be indexed, as seen by the last search"
)
STREAMS: Final = Gauge("my500_query_streams", "Open live streams")
STREAMS_CLOSED: Final = Counter(
    "my500_query_streams_closed_total", "Live streams closed by the server", ["reason"]
)
AFTER: Final = Counter(
    "my500_query_after_total", "Requests that waited for their own write (`?after=`)", ["outcome"]
)
COMMANDS: Final = Counter(
    "my500_ingest_commands_total", "Users' commands by outcome", ["command", "outcome"]
)
RESCORED: Final = Counter("my500_scoring_rescored_total", "Contacts scored", ["cause"])
EVENT_AGE: Final = Histogram(
    "my500_projection_age_seconds",
    "Time from an event's receipt to its commit in the read model",
    buckets=SECONDS,
)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, bound ids, the record's own
    fields. Of a long text, its beginning and its end.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_BOUND.get(),
            **fields,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line = {name: _bounded(value) for name, value in line.items()}
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()
        except orjson.JSONEncodeError:  # half a surrogate pair, or an integer beyond 64 bits
            return json.dumps(line, default=str)


def _bounded(value: Any) -> Any:
    if type(value) is not str or len(value) <= LONGEST_TEXT:
        return value
    half = LONGEST_TEXT // 2
    return f"{value[:half]} … {value[-half:]}"


class Throttle(logging.Filter):
    """Passes one line a minute per message: drivers repeat themselves during an outage."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -self._seconds) < self._seconds:
            return False
        self._last[str(record.msg)] = now
        return True


class Discreet(logging.Filter):
    """For bytes that are not HTTP, only the kind of error is kept: its text would show the
    headers. It is not our error; a port scanner can cause any number of them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.exc_info = None
            record.reason = type(error).__name__
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
            return logging.getLogger().isEnabledFor(logging.INFO)
        return True


def configure_logs(level: str) -> None:
    """JSON lines on standard error; the Kafka client's own log is throttled."""
    logging.getLogger("aiohttp.server").addFilter(Discreet())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    throttle = Throttle()
    for name in ("aiokafka", "aiokafka.conn", "aiokafka.client", "aiokafka.cluster"):
        logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger(name).addFilter(throttle)
    for name in ("producer.sender", "consumer.fetcher", "consumer.group_coordinator"):
        logging.getLogger(f"aiokafka.{name}").addFilter(throttle)


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Adds ids to every log line written inside."""
    token = _BOUND.set({**_BOUND.get(), **ids})
    try:
        yield
    finally:
        _BOUND.reset(token)
