"""What Pipedrive says of whose a token is."""

from typing import Any

import pytest

from shared.pipedrive import owner
from shared.pipedrive.owner import UNTOLD, Owner

ME = {"id": 1, "name": "Me", "is_admin": 1, "company_id": 54235233, "is_you": True}


def test_company_user_and_rights_are_read() -> None:
    assert owner.read(ME) == Owner(54235233, 1, is_admin=True)


@pytest.mark.parametrize("said", [0, False, "0"])
def test_who_is_no_admin_is_known(said: Any) -> None:
    assert owner.read({**ME, "is_admin": said}).is_admin is False


@pytest.mark.parametrize("told", [None, [], "x", {}, {"company_id": None, "id": "?"}])
def test_what_is_not_said_is_not_known(told: Any) -> None:
    assert owner.read(told) == UNTOLD
