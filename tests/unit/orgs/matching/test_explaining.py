"""Why an arriving record belongs where it does."""

from uuid import UUID

from services.orgs.matching import explaining, partition, profile
from services.orgs.matching.decision import Rule
from services.orgs.matching.explaining import Why
from services.orgs.matching.profile import Profile, Stated


def of(number: int, name: str, **stated: str) -> tuple[UUID, Profile]:
    ref = UUID(int=number)
    return ref, profile.of(Stated(name, **stated), ref=ref.hex)


def why(*members: tuple[UUID, Profile]) -> Why | None:
    """Of the first."""
    profiles = dict(members)
    return explaining.why(members[0][0], partition.partition(profiles), profiles)


def test_the_name_is_told_where_the_name_alone_decides() -> None:
    found = why(of(1, "ACME."), of(2, "Acme"))

    assert found is not None
    assert (found.rule, found.other) == (Rule.EQUAL_NAME, UUID(int=2))
    assert "'acme'" in found.reason


def test_stronger_evidence_is_told_first() -> None:
    site = {"website": "acme.de"}
    found = why(of(1, "Acme GmbH", **site), of(2, "Acme GmbH"), of(3, "ACME GmbH", **site))

    assert found is not None
    assert (found.rule, found.other) == (Rule.KEY_AND_EVIDENCE, UUID(int=3))
    assert found.evidence == ("Their web domain is the same.",)


def test_who_stands_alone_has_no_reason() -> None:
    assert why(of(1, "Acme"), of(2, "Other")) is None
