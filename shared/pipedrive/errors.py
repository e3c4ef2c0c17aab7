"""How a call to Pipedrive can fail. Pure.

Rule 1: what passes by waiting is `Unavailable`, and says for how long if that is known; what can
        never work, however often it is tried, is `PipedriveRefused`.
Rule 2: only `Unsettled` leaves open whether Pipedrive carried out the request.
"""

from datetime import datetime
from typing import Final

from shared.errors import Unavailable

__all__ = [
    "GONE",
    "Blocked",
    "BurstSpent",
    "DaySpent",
    "Endless",
    "NotConnected",
    "NotOfTheCompany",
    "NotUsable",
    "PipedriveRefused",
    "Unanswered",
    "Unavailable",
    "Unsettled",
]

GONE: Final = frozenset({404, 410})
"""Statuses by which Pipedrive says that there is no such row, or none any more."""


class Unsettled(Unavailable):
    """The write may have been carried out: check before retrying."""


class Unanswered(Unavailable):
    """There was no answer, or none with a meaning, and nothing was done. Another call may
    succeed.
    """


class BurstSpent(Unavailable):
    """Too many requests at the moment, and the caller's deadline ends before that passes."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Pipedrive: the burst limit is reached for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class DaySpent(Unavailable):
    """The company's tokens of this day are used up, or the caller's share of them."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"Pipedrive: today's tokens are used up; next call at {until:%H:%MZ}")
        self.until = until


class Blocked(Unavailable):
    """The firewall in front of Pipedrive blocks us: somebody kept calling after a 429."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"Pipedrive: blocked by its firewall; next call at {until:%H:%MZ}")
        self.until = until


class PipedriveRefused(Exception):
    """Pipedrive answers that this request can never work: 4xx, in its own words. Or its answers
    are of no use, in ours.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Endless(PipedriveRefused):
    """The pages of a list follow one another for ever and show nothing new."""

    def __init__(self) -> None:
        super().__init__(
            502,
            "Pipedrive's list has no end: page after page shows nothing new, and names a next.",
        )


class NotConnected(PipedriveRefused):
    """The tenants file has no API token or domain for the company."""

    def __init__(self, company_id: int) -> None:
        super().__init__(
            409, f"Company {company_id} is not connected to Pipedrive: it has no API token."
        )


class NotUsable(NotConnected):
    """The company's token in the tenants file cannot be sent in a header, or its domain is not a
    valid host name.
    """

    def __init__(self, company_id: int) -> None:
        PipedriveRefused.__init__(
            self,
            409,
            f"The api_token or api_domain of company {company_id} in the tenants file is not "
            "usable for a call.",
        )


class NotOfTheCompany(NotConnected):
    """The company's token in the tenants file belongs to another one."""

    def __init__(self, company_id: int) -> None:
        PipedriveRefused.__init__(
            self,
            409,
            f"The API token of company {company_id} in the tenants file belongs to another "
            "company in Pipedrive.",
        )
