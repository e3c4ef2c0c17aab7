"""Names that are told, gathered before they are kept."""

from services.orgs import alias_store, names
from services.orgs.folding import RecordKey
from shared import ids
from shared.register import Stamp, Write

ROW = RecordKey(7, ids.organization(7, 1), 1)


def a_write(version: int, **carried: str | None) -> Write:
    return Write(Stamp(version, 1, "e"), False, carried)


def test_each_name_is_told_once_from_first_to_last_and_as_spelled_last() -> None:
    said = [a_write(5, name="ACME"), a_write(2, name="Acme"), a_write(3, name="Beta")]

    told = {alias.name_key: alias for alias in alias_store.told({ROW: said})}

    acme, beta = (told[names.made_id(7, name)] for name in ("acme", "beta"))
    assert (acme.name, acme.first_version, acme.last_version) == ("ACME", 2, 5)
    assert (beta.name, beta.first_version, beta.last_version) == ("Beta", 3, 3)


def test_what_has_no_key_is_no_name() -> None:
    assert alias_store.told({ROW: [a_write(1, name="…"), a_write(2, name=None), a_write(3)]}) == []
