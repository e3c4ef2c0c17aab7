"""Ids that every service can compute without asking another. Pure.

Rule: an id is a function of what it identifies, so a store rebuilt from the log has the same ids.
"""

from functools import lru_cache
from uuid import NAMESPACE_URL, UUID, uuid5


@lru_cache(maxsize=65_536)
def contact(company_id: int, person_id: int) -> UUID:
    """The contact for a person in a Pipedrive company."""
    return uuid5(NAMESPACE_URL, f"{company_id}:{person_id}")


def organization(company_id: int, pipedrive_org_id: int) -> UUID:
    """The organization whose lowest Pipedrive id is `pipedrive_org_id`."""
    return uuid5(NAMESPACE_URL, f"{company_id}:org:{pipedrive_org_id}")


def made_for(company_id: int, pipedrive_org_id: int, organization_id: UUID) -> UUID:
    """The verdict that links a Pipedrive organization to the one of ours that it was created
    for.
    """
    return uuid5(NAMESPACE_URL, f"{company_id}:org:{pipedrive_org_id}:for:{organization_id}")


def made_organization(company_id: int, normalized_name: str) -> UUID:
    """The record a user creates under a name: two users at the same time create the same one."""
    return uuid5(NAMESPACE_URL, f"{company_id}:org:name:{normalized_name}")
