"""What is looked at of those who share a key."""

from bench.matching_candidates import Store
from services.orgs.candidate_store import OF_A_KEY
from services.orgs.matching import profile
from services.orgs.matching.profile import Profile, Stated


def stored(organization: str, name: str) -> Profile:
    return profile.of(Stated(name, website="acme.com"), ref=name, organization=organization)


def test_of_many_who_share_a_domain_only_some_are_looked_at() -> None:
    words = [f"{one}{other}" for one in "abcdefgh" for other in "klmnopqr"]
    store = Store(stored(word, f"{word * 3} {word[::-1] * 4}") for word in words)

    assert len(store.near(stored("", "Quite Another"))) == OF_A_KEY


def test_one_is_looked_at_for_all_of_an_organization_that_are_spelled_alike() -> None:
    alike = [stored("one", "Zyntalis") for _ in range(2 * OF_A_KEY)]
    store = Store([*alike, stored("two", "Bolt")])

    near = store.near(stored("", "Quite Another"))

    assert [each.organization for each in near] == ["one", "two"]
