"""Points, the clamp, and when time alone changes them."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.score import COMPONENTS, TICK, Score, score
from services.scoring.signals import Dealings, DealSum, Profile, Signals
from services.scoring.weights import DEFAULT, Rates

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOBODY = Signals()
KINDS = ("activity.meeting", "activity.call", "activity.email")

days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
instants = st.timedeltas(-150 * DAY, 200 * DAY).map(lambda span: NOW + span)
amounts = st.floats(-1e6, 1e6)
currencies = st.sampled_from(["", "EUR", "USD"])
profiles = st.builds(
    Profile,
    has_email=st.booleans(),
    has_phone=st.booleans(),
    org_id=st.none() | st.integers(0, 9),
    job_title=st.none() | st.just("Boss"),
    lead_qualified=st.booleans(),
    lead_contacted=st.booleans(),
    response_rate=st.none() | st.floats(0, 1),
)
dealings = st.builds(
    Dealings,
    due_dates=st.lists(days, max_size=3).map(lambda d: tuple(sorted(d, reverse=True))),
    meeting_due=st.none() | days,
    call_due=st.none() | days,
    email_due=st.none() | days,
    last_activity=st.none() | instants,
    deals=st.lists(st.builds(DealSum, currencies, st.booleans(), amounts), max_size=3).map(tuple),
    lead_qualified=st.booleans(),
    lead_contacted=st.booleans(),
)
signals = st.builds(Signals, profiles, dealings)


def points(dealings: Dealings, now: datetime = NOW) -> dict[str, int]:
    return score(Signals(Profile(), dealings), DEFAULT, now=now).points


def test_the_warmest_contact_gets_every_point_and_ten() -> None:
    today = NOW.date()
    profile = Profile(True, True, 7, "Boss", response_rate=0.51)
    warm = Dealings(
        (today, today, today),
        today,
        today,
        today,
        NOW,
        (DealSum("EUR", is_lost=False, amount=10_000.01),),
        lead_qualified=True,
        lead_contacted=True,
    )

    result = score(Signals(profile, warm), DEFAULT, now=NOW)

    assert [component.points for component in result.components] == [
        *(1, 1, 1, 1),
        *(3, 2, 1, 1),
        *(2, 1, 1),
        *(2, 1),
    ]
    assert (result.total, result.value) == (18, 10)


def test_nobody_is_cold_and_stays_so() -> None:
    result = score(NOBODY, DEFAULT, now=NOW)

    assert (result.value, result.points, result.next_change_at) == (0, {}, None)
    assert tuple(component.name for component in result.components) == COMPONENTS


def test_long_silence_never_goes_below_zero() -> None:
    silent = score(Signals(Profile(), Dealings(last_activity=NOW - 91 * DAY)), DEFAULT, now=NOW)

    assert (silent.total, silent.value) == (-1, 0)


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        (-5 * DAY, 2),
        (7 * DAY - TICK, 2),
        (7 * DAY, 1),
        (30 * DAY - TICK, 1),
        (30 * DAY, 0),
        (90 * DAY, 0),
        (90 * DAY + TICK, -1),
    ],
)
def test_recency_steps_where_it_is_said_to(silence: timedelta, expected: int) -> None:
    found = points(Dealings(last_activity=NOW - silence))

    assert found.get("engagement.recency", 0) == expected


def test_an_activity_counts_until_thirty_days_after_its_due_date() -> None:
    day = date(2026, 5, 1)
    gone = datetime(2026, 5, 31, tzinfo=UTC)
    one = Dealings((day,), meeting_due=day)

    assert points(one, gone - TICK) == {"activity.count": 1, "activity.meeting": 2}
    assert points(one, gone) == {}
    assert score(Signals(Profile(), one), DEFAULT, now=gone - TICK).next_change_at == gone


def test_an_activity_is_named_as_people_say_it() -> None:
    day = NOW.date()
    due = Dealings((day,), meeting_due=day, call_due=day, email_due=day)

    told = score(Signals(Profile(), due), DEFAULT, now=NOW).components

    reasons = [each.reason.partition(" due ")[0] for each in told if each.name in KINDS]
    assert reasons == ["a meeting", "a call", "an email"]


@pytest.mark.parametrize(
    ("due", "said"),
    [(0, "no activity"), (1, "1 activity"), (2, "2 activities"), (3, "at least 3 activities")],
)
def test_activities_are_counted_as_people_say_it(due: int, said: str) -> None:
    told = score(Signals(Profile(), Dealings((NOW.date(),) * due)), DEFAULT, now=NOW).components

    reasons = [each.reason.partition(" due ")[0] for each in told if each.name == "activity.count"]
    assert reasons == [said]


@pytest.mark.parametrize(
    ("silence", "said"),
    [
        (23 * HOUR, "last activity less than 1 day ago"),
        (47 * HOUR, "last activity 1 day ago"),
        (49 * HOUR, "last activity more than 2 days ago"),
    ],
)
def test_days_are_counted_as_people_say_it(silence: timedelta, said: str) -> None:
    due = Dealings((NOW.date(),), last_activity=NOW - silence)
    weights = replace(DEFAULT, activity_window=DAY, recent_steps=((DAY, 2),), quiet_after=2 * DAY)

    told = score(Signals(Profile(), due), weights, now=NOW).components

    reasons = {each.name: each.reason for each in told}
    assert reasons["engagement.recency"] == said
    assert reasons["activity.count"] == "1 activity due in the last 1 day or later"


def test_planned_activities_count() -> None:
    assert points(Dealings((date(2026, 12, 24),))) == {"activity.count": 1}


@pytest.mark.parametrize(
    ("amount", "expected"), [(1000, 0), (1000.01, 1), (10_000, 1), (10_000.01, 2), (-5e9, 0)]
)
def test_deals_step_above_their_bounds(amount: float, expected: int) -> None:
    found = points(Dealings(deals=(DealSum("EUR", is_lost=True, amount=amount),)))

    assert found.get("relationship.deals", 0) == expected


def test_deals_are_added_up_in_the_companys_currency() -> None:
    weights = replace(DEFAULT, rates=Rates("EUR", {"USD": 0.5}))
    deals = (
        DealSum("EUR", is_lost=False, amount=400),
        DealSum("USD", is_lost=False, amount=1000),
        DealSum("XAU", is_lost=False, amount=200),
    )

    found = score(Signals(Profile(), Dealings(deals=deals)), weights, now=NOW)

    component = found.components[COMPONENTS.index("relationship.deals")]
    assert component.points == 1
    assert component.evidence is not None
    assert component.evidence["total"] == 1100
    assert component.evidence["withoutRate"] == ["XAU"]
    assert "without a rate: XAU" in component.reason


def test_lost_deals_can_be_left_out() -> None:
    lost = Signals(Profile(), Dealings(deals=(DealSum("EUR", is_lost=True, amount=5000),)))

    kept = score(lost, DEFAULT, now=NOW)
    left_out = score(lost, replace(DEFAULT, lost_deals_count=False), now=NOW)

    assert (kept.value, left_out.value) == (1, 0)


@pytest.mark.parametrize("absurd", [math.nan, math.inf, -math.inf, 1e308, -1.0, 7.0])
def test_absurd_numbers_end_in_whole_points_and_plain_json(absurd: float) -> None:
    deals = tuple(DealSum(c, is_lost=False, amount=absurd) for c in ("", "EUR", "USD", "XAU"))
    weights = replace(DEFAULT, rates=Rates("EUR", {"USD": absurd, "XAU": 1e300}))
    odd = Signals(
        Profile(response_rate=absurd),
        Dealings(
            (date.max, date.min),
            date.max,
            date.min,
            None,
            datetime.max.replace(tzinfo=UTC),
            deals,
        ),
    )

    for now in (NOW, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        result = score(odd, weights, now=now)

        assert 0 <= result.value <= 10
        written = orjson.dumps([component._asdict() for component in result.components])
        assert b"nan" not in written.lower()
        assert b"null" not in orjson.dumps(result.points)


@given(signals, instants)
def test_points_and_clamp_make_the_score(some: Signals, now: datetime) -> None:
    result = score(some, DEFAULT, now=now)

    assert result.value == min(10, max(0, sum(result.points.values())))
    assert result.total == sum(result.points.values())
    assert all(component.reason for component in result.components)


@given(signals, instants)
def test_points_change_at_the_due_instant_and_not_before(some: Signals, now: datetime) -> None:
    result = score(some, DEFAULT, now=now)

    due = result.next_change_at
    if due is None:
        far = score(some, DEFAULT, now=now + 10_000 * DAY)
        assert far.points == result.points
    else:
        assert due > now
        assert score(some, DEFAULT, now=due - TICK).points == result.points
        assert score(some, DEFAULT, now=due).points != result.points


@given(signals, instants, st.timedeltas(timedelta(0), 400 * DAY))
@settings(max_examples=200)
def test_stepping_through_the_due_instants_is_computing_afresh(
    some: Signals, begin: datetime, span: timedelta
) -> None:
    end = begin + span
    at, stepped = begin, score(some, DEFAULT, now=begin)
    steps = 0
    while stepped.next_change_at is not None and stepped.next_change_at <= end:
        at, stepped = stepped.next_change_at, score(some, DEFAULT, now=stepped.next_change_at)
        steps += 1

    afresh = score(some, DEFAULT, now=end)
    assert (stepped.value, stepped.points) == (afresh.value, afresh.points)
    assert stepped.next_change_at == afresh.next_change_at
    assert at <= end
    assert steps <= 3 + 3 + 3


@given(signals, instants, instants)
def test_time_alone_never_warms(some: Signals, one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))

    assert _at(some, later).total <= _at(some, earlier).total


@given(signals, instants, st.data())
def test_no_sign_of_warmth_ever_lowers_a_score(
    some: Signals, now: datetime, data: st.DataObject
) -> None:
    profile, known = some.profile, some.dealings
    later = data.draw(days)
    warmer = [
        Signals(replace(profile, has_email=True), known),
        Signals(replace(profile, has_phone=True), known),
        Signals(replace(profile, org_id=3), known),
        Signals(replace(profile, job_title="Boss"), known),
        Signals(replace(profile, lead_qualified=True), known),
        Signals(replace(profile, response_rate=1.0), known),
        Signals(profile, replace(known, lead_contacted=True)),
        Signals(profile, replace(known, due_dates=_with(known.due_dates, later))),
        Signals(profile, replace(known, meeting_due=max(known.meeting_due or later, later))),
        Signals(profile, replace(known, call_due=max(known.call_due or later, later))),
        Signals(profile, replace(known, email_due=max(known.email_due or later, later))),
        Signals(
            profile, replace(known, deals=(*known.deals, DealSum("", is_lost=False, amount=9.0)))
        ),
    ]

    for each in warmer:
        assert _at(each, now).value >= _at(some, now).value


def _with(due_dates: tuple[date, ...], day: date) -> tuple[date, ...]:
    return tuple(sorted((*due_dates, day), reverse=True)[:3])


def _at(some: Signals, now: datetime) -> Score:
    return score(some, DEFAULT, now=now)
