"""Which roles a process has."""

import pytest

from shared.service import roles

KNOWN = ("api", "projector")


def test_without_a_name_it_has_all() -> None:
    assert roles([], KNOWN) == {"api", "projector"}


def test_every_service_has_a_worker_whatever_it_calls_it() -> None:
    assert roles(["worker"], KNOWN, worker="projector") == {"projector"}
    assert roles(["api", "worker"], ("api", "worker")) == {"api", "worker"}


def test_others_are_refused_by_name() -> None:
    with pytest.raises(SystemExit, match=r"no such role: tracker \(known: api, projector\)"):
        roles(["api", "tracker"], KNOWN)
