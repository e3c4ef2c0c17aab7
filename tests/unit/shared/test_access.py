from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import access
from shared.access import GRACE_S, Denials, Revoked, Told, UserKey
from shared.auth import Identity, Session
from shared.errors import Poison
from shared.events import SessionChange, UserChange
from tests.support.cost import cost_s

ME = UserKey(1, 7)
ALL = ""
NOW = 10_000_000.0


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


def envelope(entity_id: str, version: int, at: float, **more: Any) -> dict[str, Any]:
    when = datetime.fromtimestamp(at, UTC)
    return {
        "event_id": f"{entity_id}-{version}",
        "company_id": 1,
        "entity": "entity",
        "entity_id": entity_id,
        "action": "change" if more["data"] is not None else "delete",
        "version": version,
        "occurred_at": when,
        "received_at": when,
        "source": "app",
        **more,
    }


def user(version: int, data: dict[str, Any] | None, entity_id: str = "7") -> UserChange:
    return UserChange.model_validate(envelope(entity_id, version, NOW, data=data))


def revocation(at: float, token_id: str | None = None, expires: float | None = None) -> Any:
    expires_at = datetime.fromtimestamp(expires, UTC) if expires is not None else None
    data = {"user_id": 7, "token_id": token_id, "expires_at": expires_at}
    return SessionChange.model_validate(envelope(f"7:{token_id}", 1, at, data=data))


def told(*changes: UserChange | SessionChange, now: float = NOW) -> Told:
    made = Told()
    for change in changes:
        if isinstance(change, UserChange):
            made.add_user(change)
        else:
            made.add_revocation(change)
    made.settle(now=now)
    return made


def test_a_user_is_what_the_newest_word_says_however_late_an_older_one_comes():
    assert told(user(1, {"active": True})).denials == Denials()
    assert told(user(1, {"active": False})).denials == denied([ME])
    assert told(user(1, None)).denials == denied([ME])
    back = told(user(3, {"active": True}), user(1, {"active": False}), user(2, None))
    assert back.denials == Denials()


def test_a_word_that_says_nothing_of_it_leaves_a_user_as_before():
    assert told(user(1, {"active": False}), user(2, {"name": "Ann"})).denials == denied([ME])
    assert told(user(1, {"name": "Ann"})).denials == Denials()


def test_a_user_of_no_number_is_nobody():
    with pytest.raises(Poison):
        told(user(1, {"active": False}, entity_id="ann"))


def test_nothing_is_in_force_before_it_is_settled():
    made = Told()

    made.add_user(user(1, {"active": False}))

    assert made.denials == Denials()


def test_a_revoked_token_is_forgotten_once_it_has_expired_everywhere():
    made = told(revocation(NOW, "t", expires=NOW + 60))
    assert made.denials.why(session()) == access.ONE_REVOKED

    made.forget(now=NOW + 60)
    assert made.denials.why(session()) == access.ONE_REVOKED
    made.forget(now=NOW + 60 + GRACE_S)
    assert made.denials == Denials()
    assert told(revocation(0.0, "t", expires=60)).denials == Denials()


def test_a_token_of_which_nobody_knows_when_it_expires_is_kept_until_all_are_revoked():
    made = told(revocation(NOW, "t"), revocation(NOW, "t", expires=NOW + 60))
    made.forget(now=NOW * 10)
    assert made.denials == denied(revoked=[Revoked(*ME, "t", NOW)])

    made.add_revocation(revocation(NOW + 1))
    made.settle(now=NOW)
    assert "t" in made.denials.of[ME].tokens
    made.add_revocation(revocation(NOW + GRACE_S + 1))
    made.settle(now=NOW)
    assert made.denials == denied(revoked=[Revoked(*ME, ALL, NOW + GRACE_S + 1)])


WORDS = st.one_of(
    st.builds(
        user,
        st.integers(1, 5),
        st.sampled_from([None, {"active": True}, {"active": False}, {"name": "Ann"}]),
    ),
    st.builds(
        revocation,
        st.sampled_from([NOW, NOW + 1, NOW + GRACE_S + 2]),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from([None, NOW, NOW + GRACE_S]),
    ),
)


def identity_of(word: UserChange | SessionChange) -> Any:
    """A user's word is what its stamp says; a token may be revoked again and again."""
    return word.stamp if isinstance(word, UserChange) else word.model_dump_json()


@given(st.data(), st.lists(WORDS, max_size=12, unique_by=identity_of))
def test_the_order_in_which_it_is_told_and_settled_does_not_matter(data, words):
    piecemeal = told()
    for word in data.draw(st.permutations([*words, *words[:3]])):
        if isinstance(word, UserChange):
            piecemeal.add_user(word)
        else:
            piecemeal.add_revocation(word)
        piecemeal.settle(now=NOW)

    at_once = told(*words)
    for name in ("a", "b", "c"):
        for issued_at in (0.0, NOW - 1):
            asked = session(name=name, issued_at=issued_at)
            assert piecemeal.denials.why(asked) == at_once.denials.why(asked)
