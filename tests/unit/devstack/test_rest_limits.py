"""The double's limits: a burst, a day, and a firewall behind them."""

from devstack.pipedrive.api.limits import Limits, Rules
from shared.pipedrive import costs

LIST = costs.call("GET", "/v2/persons")
SEARCH = costs.call("GET", "/v2/persons/search")
DAY = "2026-01-01"


def statuses(limits: Limits, calls: int, now: float, called: costs.Call = LIST) -> list[int]:
    return [limits.judge(called, now, DAY).status for _ in range(calls)]


def test_a_window_rolls() -> None:
    limits = Limits(Rules(burst=3, daily_tokens=None))

    assert statuses(limits, 4, 10.0) == [200, 200, 200, 429]
    assert statuses(limits, 1, 11.9) == [429]
    assert statuses(limits, 4, 12.1) == [200, 200, 200, 429]


def test_searches_have_ten_in_a_window_beside_the_others() -> None:
    limits = Limits(Rules(burst=100, daily_tokens=None))

    assert statuses(limits, 11, 1.0, SEARCH) == [200] * 10 + [429]
    assert statuses(limits, 50, 1.0) == [200] * 50


def test_a_day_has_so_many_tokens_and_the_next_one_has_them_again() -> None:
    limits = Limits(Rules(burst=None, daily_tokens=25))

    assert statuses(limits, 3, 1.0) == [200, 200, 429]
    refused = limits.judge(LIST, 2.0, DAY)
    assert refused.headers["x-daily-ratelimit-token-remaining"] == "0"
    assert limits.judge(LIST, 3.0, "2026-01-02").status == 200


def test_headers_tell_what_is_left() -> None:
    limits = Limits(Rules(burst=80, daily_tokens=1000))

    headers = limits.judge(LIST, 1.0, DAY).headers

    assert headers == {
        "x-ratelimit-limit": "80",
        "x-ratelimit-remaining": "79",
        "x-ratelimit-reset": "2",
        "x-daily-ratelimit-token-limit": "1000",
        "x-daily-ratelimit-token-remaining": "990",
    }


def test_who_goes_on_after_refusals_is_turned_away_for_a_while() -> None:
    limits = Limits(Rules(burst=1, daily_tokens=None, blocked_after=2, blocked_s=30))

    assert statuses(limits, 4, 1.0) == [200, 429, 429, 403]
    assert statuses(limits, 1, 20.0) == [403]
    assert statuses(limits, 1, 31.1) == [200]
