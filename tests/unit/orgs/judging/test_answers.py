"""What is told of a review."""

from uuid import UUID

from services.orgs.judging.answers import features
from services.orgs.judging.review_store import Review

NOBODY = UUID(int=0)


def test_a_feature_that_this_version_does_not_know_is_passed_over() -> None:
    known = {"letters": 0.9, "shared": 0.5}
    told = [
        features(Review(NOBODY, NOBODY, NOBODY, 0.7, {"features": said}, NOBODY, NOBODY))
        for said in (known, {**known, "of_another_version": 0.5})
    ]

    assert told[0] == told[1]
    assert {"letters", "shared"} <= {each.name for each in told[0]}
