"""The decision table row by row, and the laws that hold over all of it."""

from hypothesis import given
from hypothesis import strategies as st

from services.orgs.matching import decide as table
from services.orgs.matching import reasons, weights
from services.orgs.matching.decision import (
    NO_VERDICTS,
    Decision,
    Outcome,
    Rule,
    Verdicts,
    verdicts,
)
from services.orgs.matching.profile import Profile
from tests.support.matching_profiles import a_profile, beside


def _decide(arriving: Profile, *stored: Profile, people_said: Verdicts = NO_VERDICTS) -> Decision:
    return table.decide(arriving, beside(arriving, *stored), people_said)


def _stored(name: str | None, organization: str = "acme", **facts: str) -> Profile:
    return a_profile(
        name, ref=f"{organization} {name} {facts}", organization=organization, **facts
    )


def _gist(found: Decision) -> tuple[Outcome, Rule, str | None]:
    return found.outcome, found.rule, found.organization


def _asked(found: Decision) -> list[str]:
    return [question.organization for question in found.questions]


def test_a_the_same_id_is_the_same_record_whatever_its_name() -> None:
    before = a_profile("Acme", ref="7", organization="acme", pipedrive_id=7)

    found = _decide(a_profile("Zanzibar Ferries", ref="7", pipedrive_id=7), before)

    assert _gist(found) == (Outcome.LINK, Rule.SAME_RECORD, "acme")
    assert found.questions == ()


def test_a_name_and_domain_both_changed_are_asked_about() -> None:
    before = a_profile("Acme", organization="acme", pipedrive_id=7, website="acme.com")
    renamed = a_profile("Zanzibar Ferries", pipedrive_id=7, website="zanzibar.com")

    found = _decide(renamed, before)

    assert _gist(found) == (Outcome.LINK, Rule.SAME_RECORD, "acme")
    assert _asked(found) == ["acme"]


def test_a_record_stays_with_companions_that_it_still_matches() -> None:
    before = a_profile("Acme", ref="7", organization="acme", pipedrive_id=7)
    companion = _stored("ACME")

    found = _decide(a_profile("Acme!", ref="7", pipedrive_id=7), before, companion)

    assert _gist(found) == (Outcome.LINK, Rule.SAME_RECORD, "acme")


def test_a_renamed_record_leaves_its_companions_for_where_it_belongs() -> None:
    before = a_profile("Acme", ref="7", organization="acme", pipedrive_id=7)
    renamed = a_profile("Zanzibar Ferries", ref="7", pipedrive_id=7)
    elsewhere = _stored("zanzibar ferries", "zanzibar")

    joined = _decide(renamed, before, _stored("ACME"), elsewhere)
    alone = _decide(renamed, before, _stored("ACME"))

    assert _gist(joined) == (Outcome.LINK, Rule.EQUAL_NAME, "zanzibar")
    assert _gist(alone) == (Outcome.CREATE, Rule.NEW, None)


def test_a_verdict_holds_a_renamed_record() -> None:
    before = a_profile("Acme", ref="7", organization="acme", pipedrive_id=7)
    companion = _stored("ACME")
    renamed = a_profile("Zanzibar Ferries", ref="7", pipedrive_id=7)

    found = _decide(renamed, before, companion, people_said=verdicts(same=[("7", companion.ref)]))

    assert _gist(found) == (Outcome.LINK, Rule.SAME_RECORD, "acme")


def test_b_an_equal_key_links_where_a_domain_a_phone_or_a_place_bears_it_out() -> None:
    for facts in (
        {"website": "acme.de"},
        {"phone": "+49 30 1234567"},
        {"postcode": "10115", "city": "Berlin"},
    ):
        found = _decide(a_profile("Acme GmbH", **facts), _stored("ACME, G.m.b.H.", **facts))

        assert _gist(found) == (Outcome.LINK, Rule.KEY_AND_EVIDENCE, "acme"), facts
        assert len(found.reasons) > 1


def test_b_needs_the_fact_the_form_and_no_contradiction() -> None:
    for arriving, stored in (
        (a_profile("Acme GmbH"), _stored("Acme AG")),
        (a_profile("Acme GmbH"), _stored("ACME Ges. mbH")),
        (a_profile("Acme GmbH", website="acme.de"), _stored("Acme AG", website="acme.de")),
        (a_profile("Acme GmbH", postcode="10115"), _stored("ACME Ges. mbH", city="Berlin")),
        (
            a_profile("Acme GmbH", website="acme.de", country="DE"),
            _stored("ACME Ges. mbH", website="acme.de", country="AT"),
        ),
    ):
        found = _decide(arriving, stored)

        assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)
        assert _asked(found) == ["acme"]


def test_c_an_equal_name_of_one_organization_links() -> None:
    found = _decide(a_profile("acme widgets"), _stored("Acme Widgets."), _stored("Nord", "nord"))

    assert _gist(found) == (Outcome.LINK, Rule.EQUAL_NAME, "acme")


def test_c_an_equal_name_of_two_organizations_is_asked_about() -> None:
    found = _decide(a_profile("Acme"), _stored("Acme", "one"), _stored("ACME", "two"))

    assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)
    assert sorted(_asked(found)) == ["one", "two"]


def test_c_a_domain_or_a_country_that_differs_is_asked_about() -> None:
    for ours, theirs in (
        ({"website": "acme.de"}, {"website": "acme.com"}),
        ({"country": "Germany"}, {"country": "FR"}),
    ):
        found = _decide(a_profile("Acme", **ours), _stored("Acme", **theirs))

        assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)
        assert found.veto


def test_c_where_companions_contradict_each_other_who_has_evidence_links_and_others_ask() -> None:
    french = _stored("Acme", "one", website="acme.fr")
    german = _stored("Acme", "two", website="acme.de")

    bare = _decide(a_profile("Acme"), french, german)
    borne_out = _decide(a_profile("Acme", website="acme.de"), french, german)

    assert _gist(bare) == (Outcome.REVIEW, Rule.REVIEW, None)
    assert _gist(borne_out) == (Outcome.LINK, Rule.KEY_AND_EVIDENCE, "two")


def test_d_a_like_name_links_with_a_fact_beside_it() -> None:
    arriving = a_profile("Zanzibar Kestrel Ferries Ltd", website="kestrel.com")
    stored = _stored("Zanzibar Kestrel Fer.", website="kestrel.com")

    found = _decide(arriving, stored)

    assert _gist(found) == (Outcome.LINK, Rule.SCORE, "acme")
    assert found.score is not None
    assert found.score >= weights.AUTOMATIC


def test_d_no_score_links_without_a_fact_or_against_a_veto() -> None:
    for name, other, facts in (
        ("Zanzibar Kestrel Ferries Ltd", "Zanzibar Kestrel Fer.", {}),
        ("Zanzibar Kestrel Ferries GmbH", "Zanzibar Kestrel Fer. AG", {"website": "kestrel.com"}),
        ("Zanzibar Kestrel Fund II", "Zanzibar Kestrel Fnd III", {"website": "kestrel.com"}),
        ("Zanzibar Kestrel Fund", "Zanzibar Kestrel Fund III", {"website": "kestrel.com"}),
    ):
        found = _decide(a_profile(name, **facts), _stored(other, **facts))

        assert found.outcome is Outcome.REVIEW
        assert bool(found.veto) == bool(facts)


def test_d_two_organizations_as_near_are_asked_about() -> None:
    facts = {"website": "kestrel.com"}
    found = _decide(
        a_profile("Zanzibar Kestrel Ferries", **facts),
        _stored("Zanzibar Kestrel Fer.", "one", **facts),
        _stored("Zanzibar Kestrel Ferr.", "two", **facts),
    )

    assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)
    assert sorted(_asked(found)) == ["one", "two"]


def test_e_the_same_domain_under_another_name_is_asked_about() -> None:
    found = _decide(a_profile("Acme", website="acme.de"), _stored("Nord", website="acme.de"))

    assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)


def test_e_a_former_name_is_asked_about_and_never_links() -> None:
    stored = a_profile("Zanzibar", organization="acme", former=("Acme",))

    found = _decide(a_profile("ACME"), stored)

    assert _gist(found) == (Outcome.REVIEW, Rule.REVIEW, None)


def test_e_asks_best_first_and_tells_why() -> None:
    found = _decide(
        a_profile("Zanzibar Ferries GmbH"),
        _stored("Zanzibar Ferris", "like"),
        _stored("Zanzibar Ferries AG", "liker"),
    )

    scores = [question.score for question in found.questions]
    assert scores == sorted(scores, reverse=True)
    assert all(question.reasons for question in found.questions)


def test_f_what_resembles_nothing_is_made() -> None:
    for stored in ((), (_stored("Nord"),), (_stored(None),)):
        assert _gist(_decide(a_profile("Acme"), *stored)) == (Outcome.CREATE, Rule.NEW, None)


def test_f_no_name_matches_no_name() -> None:
    found = _decide(a_profile("…", website="acme.de"), _stored("--"))

    assert _gist(found) == (Outcome.CREATE, Rule.NEW, None)


def test_a_verdict_of_the_same_links_whatever_the_names() -> None:
    stored = _stored("Nord")

    found = _decide(
        a_profile("Acme"), stored, people_said=verdicts(same=[(stored.ref, "arriving")])
    )

    assert _gist(found) == (Outcome.LINK, Rule.VERDICT, "acme")


def test_a_verdict_of_not_the_same_lasts_and_is_not_asked_again() -> None:
    stored = _stored("Acme")

    found = _decide(
        a_profile("Acme"), stored, people_said=verdicts(distinct=[("arriving", stored.ref)])
    )

    assert _gist(found) == (Outcome.CREATE, Rule.NEW, None)


def test_a_verdict_of_not_the_same_blocks_joins_through_a_third() -> None:
    forbidden, equal = _stored("Nord"), _stored("Acme")
    said = verdicts(distinct=[("arriving", forbidden.ref)])

    by_name = _decide(a_profile("Acme"), forbidden, equal, people_said=said)
    both = verdicts(same=[("arriving", equal.ref)], distinct=[("arriving", forbidden.ref)])
    by_verdict = _decide(a_profile("Acme"), forbidden, equal, people_said=both)

    assert _gist(by_name) == _gist(by_verdict) == (Outcome.REVIEW, Rule.REVIEW, None)
    assert _asked(by_name) == ["acme"]


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
    arriving = a_profile("Acme GmbH", website="acme.de")
    shuffled = list(stored)
    random.shuffle(shuffled)

    one, other = _decide(arriving, *stored), _decide(arriving, *shuffled)

    assert (_gist(one), set(_asked(one))) == (_gist(other), set(_asked(other)))


@given(RECORDS)
def test_no_link_without_a_verdict_contradicts_what_it_rests_on(stored) -> None:
    arriving = a_profile("Acme GmbH", website="acme.de", country="DE")

    found = _decide(arriving, *stored)

    if found.outcome is Outcome.LINK:
        equals = [
            c for c in beside(arriving, *stored) if c.other.organization == found.organization
        ]
        assert any(not reasons.vetoes(each.features) for each in equals)
    assert (found.organization is not None) == (found.outcome is Outcome.LINK)
    assert found.reasons
