"""What is published of organizations and contacts."""

from services.orgs import rows
from services.orgs.effects import Move
from services.orgs.organization_store import Organization
from shared.states import ContactLink, OrganizationState


def of_organization(organization: Organization) -> OrganizationState:
    shown = organization.shown
    number = shown.pipedrive_org_id
    into = organization.merged_into if organization.is_over else None
    return OrganizationState(
        version=organization.published,
        company_id=organization.company_id,
        organization_id=rows.plain(organization.organization_id),
        deleted=organization.is_over,
        merged_into=rows.plain(into) if into else None,
        name=shown.name,
        pipedrive_org_id=None if number is None else str(number),
        industry=shown.industry,
        size=shown.size,
        website=shown.website,
        address=shown.address,
        country=shown.country,
        city=shown.city,
        contact_count=organization.contact_count,
        last_activity=organization.last_activity,
    )


def of_link(move: Move) -> ContactLink:
    return ContactLink(
        version=move.published,
        company_id=move.company_id,
        person_id=move.person_id,
        organization_id=rows.plain(move.joined) if move.joined else None,
    )
