"""What a call to Pipedrive can come to, apart from its answer. Pure.

Rule 1: what passes by waiting is `Unavailable`, and says where it can how long; what never works,
        however often it is tried, is `PipedriveRefused`.
Rule 2: `Unsettled` alone leaves open whether Pipedrive did what it was asked to.
"""

from datetime import datetime

from shared.errors import Unavailable

__all__ = [
    "Blocked",
    "BurstSpent",
    "DaySpent",
    "NotConnected",
    "NotOfTheCompany",
    "NotUsable",
    "PipedriveRefused",
    "Unanswered",
    "Unavailable",
    "Unsettled",
]


class Unsettled(Unavailable):
    """The request to write may have been carried out: look before trying again."""


class Unanswered(Unavailable):
    """No answer came, or none with a meaning, and nothing was done. Another call may get one."""


class BurstSpent(Unavailable):
    """Too many requests for the moment, and the caller's deadline ends before that moment."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Pipedrive: the burst limit is reached for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class DaySpent(Unavailable):
    """The company's tokens of this day are used up, or the share of them that the caller has."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"Pipedrive: today's tokens are used up; next call at {until:%H:%MZ}")
        self.until = until


class Blocked(Unavailable):
    """The firewall before Pipedrive turns us away: somebody went on asking after a 429."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"Pipedrive: blocked by its firewall; next call at {until:%H:%MZ}")
        self.until = until


class PipedriveRefused(Exception):
    """Pipedrive answers that this request can never work: 4xx, in its own words."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class NotConnected(PipedriveRefused):
    """The tenants file has no API token or domain of the company."""

    def __init__(self, company_id: int) -> None:
        super().__init__(
            409, f"Company {company_id} is not connected to Pipedrive: it has no API token."
        )


class NotUsable(NotConnected):
    """No header can hold the token that the tenants file has for the company, or no host has the
    domain for its name.
    """

    def __init__(self, company_id: int) -> None:
        PipedriveRefused.__init__(
            self,
            409,
            f"The api_token or api_domain of company {company_id} in the tenants file is not "
            "usable for a call.",
        )


class NotOfTheCompany(NotConnected):
    """The token that the tenants file has for the company speaks for another one."""

    def __init__(self, company_id: int) -> None:
        PipedriveRefused.__init__(
            self,
            409,
            f"The API token of company {company_id} in the tenants file belongs to another "
            "company in Pipedrive.",
        )
