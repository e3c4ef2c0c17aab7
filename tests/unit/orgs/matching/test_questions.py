"""What a person is asked about, and what not."""

from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import questions
from services.orgs.matching.decision import NO_VERDICTS, Verdicts, verdicts
from services.orgs.matching.profile import Profile
from services.orgs.matching.questions import Question
from tests.support.matching_profiles import a_profile, beside


def _asked(
    asking: Profile, *stored: Profile, people_said: Verdicts = NO_VERDICTS
) -> tuple[Question, ...]:
    return questions.about(asking, beside(asking, *stored), people_said)


def _homes(found: tuple[Question, ...]) -> list[str]:
    return [question.organization for question in found]


def _stored(name: str | None, organization: str = "acme", **facts: str) -> Profile:
    return a_profile(
        name, ref=f"{organization} {name} {facts}", organization=organization, **facts
    )


def test_an_equal_key_is_asked_about_whatever_contradicts() -> None:
    for asking, stored in (
        (a_profile("Acme GmbH"), _stored("Acme AG")),
        (a_profile("Acme GmbH"), _stored("ACME Ges. mbH")),
        (a_profile("Acme GmbH", website="acme.de"), _stored("Acme AG", website="acme.de")),
        (a_profile("Acme GmbH", postcode="10115"), _stored("ACME Ges. mbH", city="Berlin")),
        (a_profile("Acme", website="acme.de"), _stored("Acme", website="acme.com")),
        (a_profile("Acme", country="Germany"), _stored("Acme", country="FR")),
    ):
        assert _homes(_asked(asking, stored)) == ["acme"]


def test_each_organization_of_an_equal_name_is_asked_about() -> None:
    found = _asked(a_profile("Acme"), _stored("Acme", "one"), _stored("ACME", "two"))

    assert sorted(_homes(found)) == ["one", "two"]


def test_a_like_name_is_asked_about_with_and_without_facts_beside_it() -> None:
    for name, other, facts in (
        ("Zanzibar Kestrel Ferries Ltd", "Zanzibar Kestrel Fer.", {}),
        ("Zanzibar Kestrel Ferries GmbH", "Zanzibar Kestrel Fer. AG", {"website": "kestrel.com"}),
        ("Zanzibar Kestrel Fund II", "Zanzibar Kestrel Fnd III", {"website": "kestrel.com"}),
    ):
        assert _homes(_asked(a_profile(name, **facts), _stored(other, **facts))) == ["acme"]


def test_the_same_domain_or_a_former_name_is_asked_about() -> None:
    renamed = a_profile("Zanzibar", organization="acme", former=("Acme",))

    by_domain = _asked(a_profile("Acme", website="acme.de"), _stored("Nord", website="acme.de"))

    assert _homes(by_domain) == ["acme"]
    assert _homes(_asked(a_profile("ACME"), renamed)) == ["acme"]


def test_the_best_come_first_with_their_reasons_and_are_few() -> None:
    found = _asked(
        a_profile("Zanzibar Ferries GmbH"),
        _stored("Zanzibar Ferris", "like"),
        _stored("Zanzibar Ferries AG", "liker"),
        *(_stored("Zanzibar Ferries", f"number {number}") for number in range(10)),
    )

    scores = [question.score for question in found]
    assert scores == sorted(scores, reverse=True)
    assert all(question.reasons for question in found)
    assert len(found) == questions.MOST


def test_what_resembles_nothing_or_has_no_name_is_not_asked_about() -> None:
    for stored in ((), (_stored("Nord"),), (_stored(None),)):
        assert _asked(a_profile("Acme"), *stored) == ()
    assert _asked(a_profile("…", website="acme.de"), _stored("--")) == ()


def test_what_people_said_is_not_asked_again_and_what_could_not_be_done_is() -> None:
    stored = _stored("Acme")
    other = _stored("Nord")
    distinct = verdicts(distinct=[("arriving", stored.ref)])
    same = verdicts(same=[("arriving", other.ref)])

    assert _asked(a_profile("Acme"), stored, people_said=distinct) == ()
    assert _homes(_asked(a_profile("Acme"), other, people_said=same)) == ["acme"]


def test_a_question_says_that_a_verdict_about_a_third_record_stands_in_the_way() -> None:
    forbidden, equal = _stored("Nord"), _stored("Acme")

    (question,) = _asked(
        a_profile("Acme"),
        forbidden,
        equal,
        people_said=verdicts(distinct=[("arriving", forbidden.ref)]),
    )

    assert question.ref == equal.ref
    assert question.reasons[0] == questions.BLOCKED


RECORDS = st.lists(
    st.builds(
        lambda name, home, site, land: _stored(name, home, website=site, country=land),
        st.sampled_from(["Acme GmbH", "ACME GmbH", "Acme AG", "Acme Fund II", "Nord", "…"]),
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(["", "acme.de", "acme.fr"]),
        st.sampled_from(["", "DE", "FR"]),
    ),
    max_size=5,
)


@given(RECORDS, st.randoms())
def test_the_order_of_candidates_does_not_matter(stored, random) -> None:
    asking = a_profile("Acme GmbH", website="acme.de")
    shuffled = list(stored)
    random.shuffle(shuffled)

    assert set(_homes(_asked(asking, *stored))) == set(_homes(_asked(asking, *shuffled)))
