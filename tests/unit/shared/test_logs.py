"""What is in a log line, also of a request that is no HTTP."""

import json
import logging
from typing import Any

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from shared.observability import LONGEST_TEXT, Discreet, JsonFormatter


def refused() -> logging.LogRecord:
    error = BadHttpMessage("Authorization: Basic c2VjcmV0")
    why = (BadHttpMessage, error, None)
    return logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "Error", (), why)


def test_it_is_told_without_its_text_and_as_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    record = refused()

    assert Discreet().filter(record)

    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert vars(record)["reason"] == "BadHttpMessage"


def test_it_is_not_told_where_only_warnings_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    assert not Discreet().filter(refused())


def test_an_error_of_ours_stays_one() -> None:
    record = logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "Error", (), None)

    assert Discreet().filter(record)
    assert record.levelno == logging.ERROR


def logged(**fields: Any) -> Any:
    record = logging.makeLogRecord({"msg": "said", "levelname": "INFO", "name": "x", **fields})
    return json.loads(JsonFormatter().format(record))


def test_of_a_long_text_both_ends_are_told() -> None:
    long = logged(reason="a" * 1_000_000 + "b" * 1_000_000)["reason"]

    assert LONGEST_TEXT <= len(long) <= LONGEST_TEXT + 10
    assert (long[0], long[-1]) == ("a", "b")
    assert logged(reason="a" * LONGEST_TEXT)["reason"] == "a" * LONGEST_TEXT


@pytest.mark.parametrize("value", ["\ud800", 2**70, {"deep": "\udfff"}])
def test_what_is_odd_in_a_line_takes_nothing_from_it(value: Any) -> None:
    line = logged(reason=value)

    assert (line["message"], line["reason"]) == ("said", value)
