"""What a request that is no HTTP leaves in the log."""

import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from shared.observability import Discreet


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
