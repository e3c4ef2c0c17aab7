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
    "my500_query_pages_total", "Pages served, by where they came from", ["origin"]
)
CACHE_ERRORS: Final = Counter(
    "my500_query_cache_errors_total", "Calls to Redis that failed", ["call"]
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


def configure_logs(level: str) -> None:
    """JSON lines on standard error; the Kafka client's own log is throttled."""
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
