import pytest
from multidict import CIMultiDict

from shared.pipedrive import reading
from shared.pipedrive.reading import Verdict

OK = b'{"success": true, "data": {}}'
REFUSED = b'{"success": false, "error": "Person not found"}'
GONE = {"X-Daily-RateLimit-Token-Limit": "30000", "X-Daily-RateLimit-Token-Remaining": "0"}
NONE_LEFT = {"X-Daily-RateLimit-Token-Remaining": "0"}
LEFT = {"X-Daily-RateLimit-Token-Limit": "30000", "X-Daily-RateLimit-Token-Remaining": "17"}


def answer(status: int, content: bytes = OK, **headers: str) -> reading.Answer:
    return reading.read(status, CIMultiDict(headers), content)


@pytest.mark.parametrize(
    ("status", "content", "headers", "expected"),
    [
        (200, OK, {}, Verdict.OK),
        (201, OK, {}, Verdict.OK),
        (200, REFUSED, {}, Verdict.REFUSED),
        (404, REFUSED, {}, Verdict.REFUSED),
        (403, REFUSED, {}, Verdict.REFUSED),
        (403, b"<html>Error 1015</html>", {}, Verdict.BLOCKED),
        (429, b"", {}, Verdict.BURST_SPENT),
        (429, b"<html>", LEFT, Verdict.BURST_SPENT),
        (429, b"", GONE, Verdict.DAY_SPENT),
        (429, b"", NONE_LEFT, Verdict.DAY_SPENT),
        (429, b"", {"X-Daily-RateLimit-Token-Limit": "30000"}, Verdict.BURST_SPENT),
        (500, b'{"success": false, "error": "Internal"}', {}, Verdict.BROKEN),
        (502, b"<html>Bad gateway</html>", {}, Verdict.BROKEN),
        (200, b'{"success": true, "da', {}, Verdict.BROKEN),
        (200, b"[]", {}, Verdict.BROKEN),
        (404, b"<html>", {}, Verdict.BROKEN),
        (408, b"", {}, Verdict.BROKEN),
        (401, b"<html>", {}, Verdict.REFUSED),
        (414, b"<html>Request-URI Too Large</html>", {}, Verdict.REFUSED),
        (302, OK, {}, Verdict.BROKEN),
    ],
)
def test_the_kinds_of_trouble_are_told_apart(
    status: int, content: bytes, headers: dict[str, str], expected: Verdict
) -> None:
    assert reading.verdict(answer(status, content, **headers)) is expected


@pytest.mark.parametrize(
    ("tokens", "expected"), [(17, Verdict.BURST_SPENT), (20, Verdict.DAY_SPENT)]
)
def test_a_day_that_has_less_left_than_a_call_costs_is_spent(
    tokens: int, expected: Verdict
) -> None:
    assert reading.verdict(answer(429, b"", **LEFT), tokens) is expected


@pytest.mark.parametrize(
    ("status", "content", "sentence"),
    [
        (404, REFUSED, "Pipedrive refused: Person not found."),
        (400, b'{"success": false, "error": "Bad name."}', "Pipedrive refused: Bad name."),
        (
            400,
            b'{"success": false, "errors": {"subscription_url": ["not reachable"]}}',
            "Pipedrive refused: subscription_url: not reachable.",
        ),
        (400, b'{"success": false, "error": "Bad\\u0000 name"}', "Pipedrive refused: Bad name."),
        (400, b'{"success": false}', "Pipedrive refused: no reason given."),
        (401, REFUSED, "Pipedrive does not accept the API token."),
        (401, b"<html>", "Pipedrive does not accept the API token."),
        (414, b"<html>", "Pipedrive refused: no reason given."),
        (402, REFUSED, "The Pipedrive account is not active."),
    ],
)
def test_a_refusal_is_a_sentence(status: int, content: bytes, sentence: str) -> None:
    refused = reading.refused(answer(status, content))

    assert (refused.status, refused.sentence) == (status, sentence)


@pytest.mark.parametrize(
    ("status", "location", "said"),
    [
        (301, "https://new.pipedrive.com/api/v2/persons", ", a redirect to new.pipedrive.com: is"),
        (302, "http://[", ": is the company's api_domain in the tenants file still right?"),
        (404, "", ": is the company's api_domain in the tenants file still right?"),
        (504, "", ""),
    ],
)
def test_who_does_not_answer_as_the_api_does_may_be_somebody_else(
    status: int, location: str, said: str
) -> None:
    found = reading.without_meaning(answer(status, b"<html>", Location=location))

    assert found.startswith(f"unexpected answer, status {status}{said}")
    assert ("api_domain" in found) == bool(said)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 2.0),
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": "1"}, 1.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "3"}, 3.0),
        ({"Retry-After": "86400"}, 60.0),
        ({"Retry-After": "-1"}, 2.0),
        ({"Retry-After": "nan"}, 2.0),
    ],
)
def test_a_burst_is_waited_out_as_long_as_the_headers_say_within_bounds(
    headers: dict[str, str], seconds: float
) -> None:
    assert answer(429, **headers).retry_after_s == seconds


def test_headers_that_say_nothing_readable_say_nothing() -> None:
    found = answer(200, **{"X-RateLimit-Limit": "many", "X-Daily-RateLimit-Token-Limit": ""})

    assert found.day is None
    assert found.burst == (None, None)


def test_what_is_left_of_the_day_counts_also_where_its_limit_is_not_said() -> None:
    assert answer(200, **{"X-Daily-RateLimit-Token-Remaining": "17"}).day == (None, 17)


def test_half_an_emoji_in_a_row_does_not_cost_the_page() -> None:
    found = answer(200, rb'{"success": true, "data": [{"id": 1, "name": "Ann \ud83d"}]}')

    assert reading.verdict(found) is Verdict.OK
    assert found.told == {"success": True, "data": [{"id": 1, "name": "Ann ?"}]}
