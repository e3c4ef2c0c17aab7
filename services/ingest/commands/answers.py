"""The commands' request and response bodies."""

from datetime import date
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from services.ingest import values
from shared.json_model import Json

LONGEST_NAME: Final = 255
LONGEST_POINT: Final = 254
MOST_CONTACTS: Final = 500


def _text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _address(text: str) -> str:
    name, at, domain = text.strip().rpartition("@")
    if not (name and at and domain) or any(char.isspace() for char in text.strip()):
        raise ValueError("must be an e-mail address")
    return text.strip()


def _number(text: str) -> str:
    if not any(char.isdigit() for char in text):
        raise ValueError("must contain a digit")
    return text.strip()


def _day(at: date) -> date:
    """Dates that we would not accept from Pipedrive are not sent to it."""
    if not values.is_likely(at):
        raise ValueError(f"must be between the years {values.FIRST_YEAR} and {values.LAST_YEAR}")
    return at


Text = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_text)]
Email = Annotated[
    str, Field(max_length=LONGEST_POINT), AfterValidator(_text), AfterValidator(_address)
]
Phone = Annotated[
    str, Field(max_length=LONGEST_POINT), AfterValidator(_text), AfterValidator(_number)
]

Flag = Annotated[bool, Field(strict=True)]
Day = Annotated[date, Field(strict=True), AfterValidator(_day)]

AFTER: Final = (
    "pass it as `after` to reads that must show the change; null if the change will appear "
    "without one"
)


class AfterQuery(Json):
    after: str | None = Field(
        None, max_length=6_000, description="`after` of an earlier answer, to wait for its contact"
    )


class WantedContact(Json):
    """A contact to create in Pipedrive, owned by the caller."""

    name: Text
    email: Email | None = None
    phone: Phone | None = None
    job_title: Text | None = None
    organization_id: UUID | None = Field(None, description="id of an organization here")
    organization_name: Text | None = Field(
        None, description="found by name or created; not together with organizationId"
    )

    @model_validator(mode="after")
    def _one_organization(self) -> Self:
        if self.organization_id is not None and self.organization_name is not None:
            raise ValueError("give organizationId or organizationName, not both")
        return self


class MadeContact(Json):
    """The contact, as Pipedrive created it."""

    id: UUID
    pipedrive_person_id: str
    name: str
    email: str | None
    phone: str | None
    job_title: str | None = Field(description="null if the company's Pipedrive has no such field")
    organization_id: UUID | None
    after: str | None = Field(description=AFTER)


class WantedActivity(Json):
    """An activity to create in Pipedrive, for one of the caller's contacts."""

    contact_id: UUID
    type: Text = Field(description="Pipedrive's key for the type, such as call or meeting")
    subject: Text
    due_date: Day | None = None
    done: Flag = False


class MadeActivity(Json):
    """The activity, as Pipedrive created it."""

    id: str = Field(description="Pipedrive's id")
    contact_id: UUID
    type: str
    subject: str
    done: bool
    due_date: date | None
    after: str | None = Field(description=AFTER)


class Membership(Json):
    """Whether a contact is in the campaign."""

    added_to_campaign: Flag


class Memberships(Json):
    """Contacts to add to the campaign, or to remove from it."""

    contact_ids: list[UUID] = Field(min_length=1, max_length=MOST_CONTACTS)
    added_to_campaign: Flag


class Campaign(Json):
    """The contacts whose campaign membership was set."""

    contact_ids: list[UUID]
    added_to_campaign: bool
    after: str | None = Field(description=AFTER)
