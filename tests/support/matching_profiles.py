"""Profiles and candidates for tests of matching: valid by default, changed where it matters."""

from services.orgs.matching import profile, score
from services.orgs.matching.profile import Profile, Stated
from services.orgs.matching.rarity import Rarity
from services.orgs.matching.score import Scored

NO_NAMES = Rarity()


def a_profile(
    name: str | None = "Acme Widgets GmbH",
    *,
    ref: str = "arriving",
    organization: str = "",
    pipedrive_id: int | None = None,
    former: tuple[str, ...] = (),
    **stated: str,
) -> Profile:
    return profile.of(
        Stated(name, **stated),
        ref=ref,
        organization=organization,
        pipedrive_id=pipedrive_id,
        former_names=former,
    )


def beside(arriving: Profile, *stored: Profile) -> list[Scored]:
    return [score.compared(arriving, each, NO_NAMES) for each in stored]
