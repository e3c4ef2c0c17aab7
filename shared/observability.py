"""JSON logs with bound ids, and the catalogue of every metric.

Rule 1: a log line is a constant message with fields; ids are bound by `bound`, never formatted in.
Rule 2: a metric's labels are bounded: topics, routes, reasons; never an id.
"""

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
from prometheus_client import Counter, Gauge, Histogram

_BOUND: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039  never mutated
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HTTP_REQUESTS: Final = Counter(
    "my500_http_requests_total", "Requests answered", ["method", "route", "status"]
)
HTTP_SECONDS: Final = Histogram(
    "my500_http_request_seconds", "Time to answer a request", ["route"], buckets=SECONDS
)
WEBHOOKS: Final = Counter(
    "my500_ingest_webhooks_total", "Webhooks by outcome and entity", ["outcome", "entity"]
)
PUBLISH_SECONDS: Final = Histogram(
    "my500_kafka_publish_seconds", "From hand-over to acks=all", ["outcome"], buckets=SECONDS
)
PRODUCER_REBUILDS: Final = Counter(
    "my500_kafka_producer_rebuilds_total", "Producers given up and built anew"
)
KAFKA_AWAY: Final = Gauge(
    "my500_ingest_kafka_away", "1 while records go to the spool because Kafka does not take them"
)
SPOOL_EVENTS: Final = Gauge("my500_spool_events", "Records that wait in the spool")
SPOOL_BYTES: Final = Gauge("my500_spool_bytes", "Bytes of the records that wait in the spool")
SPOOL_AGE: Final = Gauge(
    "my500_spool_oldest_seconds", "How long the first record has waited in the spool; 0 if none"
)
SPOOL_STORED: Final = Counter("my500_spool_stored_total", "Records stored in the spool")
SPOOL_DRAINED: Final = Counter("my500_spool_drained_total", "Records Kafka took from the spool")
SPOOL_REFUSED: Final = Counter(
    "my500_spool_refused_total", "Records that the spool did not take", ["reason"]
)
SPOOL_HELD: Final = Counter(
    "my500_spool_held_total", "Records of the spool that Kafka refused while it took others"
)
SPOOL_DAMAGED: Final = Counter("my500_spool_damaged_total", "Damaged spool files put aside")
SPOOL_COMMIT_SECONDS: Final = Histogram(
    "my500_spool_commit_seconds", "One commit to the spool, fsync included", buckets=SECONDS
)
RECORDS: Final = Counter(
    "my500_consumer_records_total", "Records applied, in their transaction", ["topic"]
)
BATCH_SECONDS: Final = Histogram(
    "my500_consumer_batch_seconds", "One batch, from hand-over to commit", buckets=SECONDS
)
LAG: Final = Gauge("my500_consumer_lag_records", "Records behind the end of the topic", ["topic"])
DEAD_LETTERS: Final = Counter("my500_dead_letters_total", "Records put aside as poison", ["topic"])
LINE_STOPPED: Final = Gauge(
    "my500_line_stopped", "1 while the dead-letter limit holds the consumer"
)
CONSUMER_RESTARTS: Final = Counter(
    "my500_consumer_restarts_total", "Consumers built anew in the process", ["reason"]
)
OUTAGE_WAITS: Final = Counter(
    "my500_outage_waits_total", "Waits because Kafka or Postgres was away", ["loop"]
)
OUTBOX_PUBLISHED: Final = Counter(
    "my500_outbox_published_total", "States published from the outbox", ["topic"]
)
OUTBOX_PENDING: Final = Gauge(
    "my500_outbox_pending_states", "States taken by the last look at the outbox"
)
PAGES: Final = Counter(
    "my500_query_pages_total", "Pages served, by where they came from", ["route", "origin"]
)
PAGE_READS: Final = Counter(
    "my500_query_page_reads_total", "Pages read from Postgres; who waits adds none", ["route"]
)
READS_RUNNING: Final = Gauge("my500_query_reads_running", "Reads of Postgres under way")
REFUSED: Final = Counter(
    "my500_query_refused_total", "Reads refused for a user's rate or for overload", ["reason"]
)
SLOW_STATEMENTS: Final = Counter(
    "my500_query_slow_statements_total", "Statements that took longer than SLOW_QUERY_MS"
)
SAMPLED_PAGES: Final = Counter(
    "my500_query_sampled_pages_total",
    "Cached pages compared with Postgres after they were served, and what came of it",
    ["outcome"],
)
STALE_PAGES: Final = Counter(
    "my500_query_stale_pages_total", "Sampled pages that were not what Postgres held", ["route"]
)
STALE_PAGE_AGE: Final = Histogram(
    "my500_query_stale_page_age_seconds",
    "How long ago a page that was found stale had been kept",
    buckets=(0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 120.0, 300.0),
)
CACHE_ERRORS: Final = Counter(
    "my500_query_cache_errors_total", "Calls to Redis that failed", ["call"]
)
PIPEDRIVE_CALLS: Final = Counter(
    "my500_pipedrive_calls_total", "Calls of Pipedrive's REST API", ["endpoint", "outcome"]
)
PIPEDRIVE_SECONDS: Final = Histogram(
    "my500_pipedrive_call_seconds", "One call, without waiting for limits", buckets=SECONDS
)
PIPEDRIVE_TOKENS: Final = Counter(
    "my500_pipedrive_tokens_total", "Tokens of the daily budget used by this process", ["purpose"]
)
SYNC_ROWS: Final = Counter(
    "my500_sync_rows_total", "Rows of Pipedrive's lists, read and found changed", ["list", "what"]
)
SYNC_HELD: Final = Counter(
    "my500_sync_held_seconds_total", "Time that syncs waited for those who read the log"
)
SYNCS: Final = Counter(
    "my500_syncs_total", "Synchronisations that ended, and how", ["mode", "outcome"]
)
HOOKS_MENDED: Final = Counter(
    "my500_hooks_mended_total", "Webhooks registered anew at Pipedrive", ["reason"]
)
SEARCH_INDEXED: Final = Counter(
    "my500_query_search_indexed_total", "Contacts brought up to date in the search index"
)
SEARCH_QUEUED: Final = Gauge(
    "my500_query_search_queued", "Contacts waiting for the search index, of the last search"
)
STREAMS: Final = Gauge("my500_query_streams", "Live streams open in the process")
STREAMS_CLOSED: Final = Counter(
    "my500_query_streams_closed_total", "Live streams that were closed from here", ["reason"]
)
AFTER: Final = Counter(
    "my500_query_after_total", "Requests that waited for a change of their own", ["outcome"]
)
COMMANDS: Final = Counter(
    "my500_ingest_commands_total", "Users' commands by what became of them", ["command", "outcome"]
)
RESCORED: Final = Counter("my500_scoring_rescored_total", "Contacts scored", ["cause"])
EVENT_AGE: Final = Histogram(
    "my500_projection_age_seconds",
    "From the event's receipt to its commit in the read model",
    buckets=SECONDS,
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, bound ids, the record's own fields."""

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
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


class Throttle(logging.Filter):
    """Passes one line a minute per message: drivers repeat themselves while a server is away."""

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
    """Of a request that is no HTTP, the kind of fault stays: its text would show the headers. It
    is no error of ours; whoever scans ports makes as many as he likes.
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
