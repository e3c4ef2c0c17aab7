"""Keys under which records meet."""

import pytest

from bench.matching_candidates import trigrams
from services.orgs.matching import meeting, profile
from services.orgs.matching.profile import Profile, Stated


def of(name: str | None, ref: str = "1", **stated: str) -> Profile:
    return profile.of(Stated(name, **stated), ref=ref)


def test_a_core_key_is_borne_out_by_a_domain_or_a_postcode_with_its_city() -> None:
    assert meeting.borne_out(of("Acme GmbH")) == ()
    assert meeting.borne_out(of("Acme GmbH", postcode="10115")) == ()
    assert len(meeting.borne_out(of("Acme GmbH", postcode="10115", city="Berlin"))) == 1
    assert len(meeting.borne_out(of("Acme GmbH", website="acme.de", country="DE"))) == 2


def test_a_postcode_makes_a_crowd_with_the_names_first_word_only() -> None:
    one, other = of("Acme Tools", postcode="10115"), of("Beta Tools", postcode="10115")

    assert not set(meeting.crowds(one)) & set(meeting.crowds(other))


def test_common_words_tell_nothing_unless_there_are_no_others() -> None:
    assert meeting.telling(of("Zyntalis Holding Group")) == "zintalis"
    assert meeting.telling(of("Global Holding")) == "global holding"
    assert meeting.telling(of("…")) is None


def test_no_key_is_longer_than_an_index_entry_may_be() -> None:
    long = of("x" * 5_000, postcode="10115")

    assert len(meeting.telling(long) or "") <= meeting.LONGEST
    assert len(meeting.place(long) or "") <= meeting.LONGEST


def test_without_evidence_or_against_a_veto_likeness_is_none() -> None:
    site = {"website": "zyntalis.com"}
    one = of("Zyntalis Biotech II", "1", **site)

    assert meeting.likeness(one, of("Zyntalis Biotech II", "2")) is None
    assert meeting.likeness(one, of("Zyntalis Biotech III", "2", **site)) is None
    assert (meeting.likeness(one, of("Zyntalys Biotech II", "2", **site)) or 0) > 0.9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zyntalis Copper", "Zyntalis Copper Holding"),
        ("Zyntalis Copper Logistics", "Zyntalis Copper Trading"),
        ("Zyntalis Copper Services GmbH", "Zyntalis Copper Leasing"),
        ("Zyntalis Copper Fund Class A", "Zyntalis Copper Fund Class B"),
        ("Zyntalis Copper Fund Europe", "Zyntalis Copper Fund Asia"),
        ("Zyntalis Copper", "Zyntalis Copper Foundation"),
    ],
)
def test_a_domain_bears_out_no_name_that_has_a_word_more(one: str, other: str) -> None:
    site = {"website": "zyntalis.com"}

    assert meeting.likeness(of(one, "1", **site), of(other, "2", **site)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zyntalis Copper Ltd", "The Zyntalys Copper Company"),
        ("Zyntalis Bakery", "Bäckerei Zyntalis"),
        ("Zyntalis of Copper", "Zyntalis Coper"),
        ("Кредо Зинталис", "Credo Zintalis"),
    ],
)
def test_a_domain_bears_out_another_spelling(one: str, other: str) -> None:
    site = {"website": "zyntalis.com"}

    assert (meeting.likeness(of(one, "1", **site), of(other, "2", **site)) or 0) > 0.9


def test_a_postcode_bears_out_the_same_words_only() -> None:
    here = {"postcode": "10115"}
    one = of("Zyntalis Bakery", "1", **here)

    assert (meeting.likeness(one, of("Zyntalis Bäckerei GmbH", "2", **here)) or 0) > 0.9
    assert meeting.likeness(one, of("Zyntalis Baker", "2", **here)) is not None
    assert meeting.likeness(one, of("Zyntalin Bakery", "2", **here)) is None
    assert meeting.likeness(one, of("Zyntalis Bakery South", "2", **here)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Instituto Politécnico Zyntal", "Zyntal Polytechnic Institute"),
        ("Klinikum München", "Munich Hospital"),
        ("Universidad Nacional", "National University"),
        ("Кредо Банк", "Credo Bank"),
        ("Лутеция", "Lutecia"),
        ("Stadt Zyntal", "Town of Zyntal"),
    ],
)
def test_a_name_is_alike_its_translation(one: str, other: str) -> None:
    texts = [trigrams(meeting.telling(of(name)) or "") for name in (one, other)]

    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("stored", "misspelt"),
    [
        ("nordwind energie", "nordwnd energie"),
        ("lindqvist", "lindkvist"),
        ("project bungalow difc", "project bungalwo difc"),
        ("scorpion express private logistics", "scorpion exprezz private logiztics"),
        ("project bungalow difc marina", "projectbungalow difc marina"),
    ],
)
def test_a_misspelt_name_is_alike_enough_however_long_it_is(stored: str, misspelt: str) -> None:
    one, other = trigrams(stored), trigrams(misspelt)

    assert len(one & other) / len(one | other) >= meeting.alike_from(misspelt)
