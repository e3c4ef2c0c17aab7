from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from services.query.sessions import access
from services.query.sessions.access import Denials, Revoked, UserKey
from shared.auth import Identity, Session
from tests.support.cost import cost_s

ME = UserKey(1, 7)
ALL = ""


def session(*, name: str = "t", issued_at: float = 100.0, company: int = 1) -> Session:
    return Session(Identity(company, 7, False), name, issued_at, 1_000.0)


def denied(inactive: Iterable[UserKey] = (), revoked: Iterable[Revoked] = ()) -> Denials:
    made = Denials()
    made.deactivate(inactive)
    made.revoke(revoked)
    return made


def test_nobody_is_refused_without_a_reason():
    assert Denials().why(session()) is None


@pytest.mark.parametrize(
    ("denials", "sentence"),
    [
        (denied(inactive=[ME]), "This user is deactivated in Pipedrive."),
        (
            denied(revoked=[Revoked(*ME, ALL, 100.5)]),
            "All tokens of this user were revoked. Sign in again.",
        ),
        (denied(revoked=[Revoked(*ME, "t", 100.5)]), "This token was revoked. Sign in again."),
    ],
)
def test_a_refusal_says_why_and_meets_nobody_of_another_company(denials, sentence):
    assert denials.why(session()) == sentence
    assert denials.why(session(company=2)) is None


def test_a_token_issued_after_all_were_revoked_speaks_again():
    denials = denied(revoked=[Revoked(*ME, ALL, 100.5)])

    assert denials.why(session(issued_at=101.0)) is None


def test_a_token_that_does_not_say_when_it_was_issued_is_told_what_it_lacks():
    denials = denied(revoked=[Revoked(*ME, ALL, 100.5)])

    assert denials.why(session(issued_at=0.0)) == access.ALL_UNDATED_REVOKED
    assert "iat" in access.ALL_UNDATED_REVOKED


def test_another_token_of_the_user_goes_on():
    assert denied(revoked=[Revoked(*ME, "other", 100.5)]).why(session()) is None


def test_what_refuses_a_user_is_replaced_and_others_stay_as_they_were():
    other = UserKey(1, 8)
    denials = denied(inactive=[ME, other])

    denials.replace([ME], by=denied(revoked=[Revoked(*ME, "t", 100.5)]))

    theirs = Session(Identity(1, 8, False), "t", 100.0, 1_000.0)
    assert (denials.why(session()), denials.why(theirs)) == (access.ONE_REVOKED, access.INACTIVE)
    denials.replace([ME, other], by=denied())
    assert (denials.why(session()), denials.why(theirs)) == (None, None)


def test_a_token_may_be_valid_for_longer_than_dates_go():
    assert access.instant(1e18).year == 9999
    assert access.instant(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_session_is_looked_up_in_no_time_however_many_are_refused():
    denials = denied(
        [UserKey(1, n) for n in range(100, 10_000)],
        [
            Revoked(company, n, name, 1.0)
            for company, name in ((2, ALL), (3, "t"))
            for n in range(10_000)
        ],
    )
    mine = session()

    assert denials.why(mine) is None
    assert cost_s(lambda: denials.why(mine)) < 10e-6
