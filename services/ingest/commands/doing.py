"""The commands themselves: one function each, from what is wanted to what was made.

Rule: whatever is done before a command is refused is either found again, as an organization is by
its name, or belongs to the undertaking that the next try continues.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from services.ingest.commands import telling, undertaking_store, wanted
from services.ingest.commands.answers import (
    Campaign,
    MadeActivity,
    MadeContact,
    WantedActivity,
    WantedContact,
)
from services.ingest.commands.command_store import Asker
from services.ingest.commands.finding import Finding
from services.ingest.commands.gone import Gone
from services.ingest.commands.making import Making
from services.ingest.commands.neighbours import Contact, Headers, Neighbours, Organization
from services.ingest.commands.telling import Telling
from services.ingest.commands.undertaking_store import Undertaking
from services.ingest.commands.wanted import Wanted
from shared import db, ids
from shared.errors import Unavailable
from shared.kafka.publisher import Record
from shared.pipedrive.client import Clients, Pipedrive
from shared.pipedrive.errors import PipedriveRefused
from shared.positions import Scored
from shared.tenants import Tenants
from shared.web import Refused

FORBIDDEN: Final = 403
NO_CONTACT: Final = "Pipedrive has no such contact any more."
HEARD_S: Final = 5.0
POLL_S: Final = 0.1
KNOWN_TO_ORGS: Final = timedelta(minutes=10)
"""After so long orgs itself knows of an organization's record in Pipedrive, or of its deletion."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the request: `headers` authenticate the user, `key` names this request, `asked` is
    a digest of it, and `after` is the token of the caller's previous change.
    """

    company_id: int
    user_id: int
    headers: Headers
    key: str
    asked: bytes
    after: str | None = None

    @property
    def asker(self) -> Asker:
        return Asker(self.company_id, self.user_id)

    def makes(self, kind: str) -> Undertaking:
        """What is to be created for this request."""
        name = undertaking_store.name(self.user_id, self.key)
        return Undertaking(self.company_id, kind, name, self.asked)


@dataclass(frozen=True, slots=True)
class Doing:
    making: Making
    telling: Telling
    neighbours: Neighbours
    clients: Clients
    tenants: Tenants

    async def make_contact(self, caller: Caller, asked: WantedContact) -> MadeContact:
        pipedrive = self.clients.of(caller.company_id)
        organization = await self._organization(caller, asked)
        org_id = await self._org_id(pipedrive, caller, organization)
        person = self._wanted(caller, asked, org_id)
        try:
            row = await self._person(pipedrive, caller.makes("person"), person)
        except PipedriveRefused as refused:
            gone = Gone(pipedrive, self.telling, self.making.deadline_s)
            if org_id is None or not await gone.explains(refused, "organization", org_id):
                raise
            organization = await self._organization_without(org_id, caller, asked)
            org_id = await self._org_id(pipedrive, caller, organization)
            person = self._wanted(caller, asked, org_id)
            row = await self._person(pipedrive, caller.makes("person"), person)
        told = telling.row_record("person", row, caller.company_id, datetime.now(UTC))
        contact_id = ids.contact(caller.company_id, row["id"])
        linked = [contact_id] if organization else ()
        after = await self.telling.tell([told], linked, [Scored(contact_id)])
        return MadeContact(
            id=contact_id,
            pipedrive_person_id=str(row["id"]),
            name=telling.text(row, "name") or asked.name,
            email=asked.email,
            phone=asked.phone,
            job_title=asked.job_title if wanted.is_titled(person, row) else None,
            organization_id=organization.organization_id if organization else None,
            after=after,
        )

    def _wanted(self, caller: Caller, asked: WantedContact, org_id: int | None) -> Wanted:
        return wanted.person(
            name=asked.name,
            email=asked.email,
            phone=asked.phone,
            job_title=asked.job_title,
            org_id=org_id,
            owner_id=caller.user_id,
            custom=self.tenants.get(caller.company_id).custom_fields,
        )

    async def _person(
        self, pipedrive: Pipedrive, it: Undertaking, person: Wanted
    ) -> dict[str, Any]:
        """Created without its job title where Pipedrive forbids it: companies without contact sync
        have no such field, and the contact is worth more than its title.
        """
        untitled = wanted.untitled(person)
        try:
            return await self.making.once(pipedrive, it, person)
        except PipedriveRefused as refused:
            if refused.status != FORBIDDEN or untitled == person:
                raise
        return await self.making.once(pipedrive, it, untitled)

    async def make_activity(self, caller: Caller, asked: WantedActivity) -> MadeActivity:
        pipedrive = self.clients.of(caller.company_id)
        contact = await self.neighbours.contact(
            asked.contact_id, caller.headers, after=caller.after
        )
        activity = wanted.activity(
            type_key=asked.type,
            subject=asked.subject,
            person_id=contact.person_id,
            due_date=asked.due_date,
            done=asked.done,
            owner_id=caller.user_id,
        )
        try:
            row = await self.making.once(pipedrive, caller.makes("activity"), activity)
        except PipedriveRefused as refused:
            gone = Gone(pipedrive, self.telling, self.making.deadline_s)
            if not await gone.explains(refused, "person", contact.person_id):
                raise
            raise Refused(404, "not_found", NO_CONTACT) from refused
        told = telling.row_record("activity", row, caller.company_id, datetime.now(UTC))
        done_us = telling.done_us(row)
        scored = [Scored(contact.contact_id, done_us)] if done_us is not None else ()
        after = await self.telling.tell([told], scored=scored)
        return MadeActivity(
            id=str(row["id"]),
            contact_id=contact.contact_id,
            type=asked.type,
            subject=asked.subject,
            done=asked.done,
            due_date=asked.due_date,
            after=after,
        )

    async def set_campaign(
        self, caller: Caller, contact_ids: Sequence[Any], *, added: bool
    ) -> Campaign:
        """All of them, or none."""
        wanted_ids = list(dict.fromkeys(contact_ids))
        contacts = await self.neighbours.contacts(wanted_ids, caller.headers, after=caller.after)
        after = await self.telling.tell(
            [self._membership(caller, contact, added=added) for contact in contacts]
        )
        return Campaign(contact_ids=wanted_ids, added_to_campaign=added, after=after)

    def _membership(self, caller: Caller, contact: Contact, *, added: bool) -> Record:
        return telling.campaign_record(caller.company_id, contact, added=added)

    async def _organization(self, caller: Caller, asked: WantedContact) -> Organization | None:
        if asked.organization_id is not None:
            return await self.neighbours.organization(asked.organization_id, caller.headers)
        if asked.organization_name is None:
            return None
        name = asked.organization_name
        return await self.neighbours.find_or_make_organization(name, caller.headers)

    async def _organization_without(
        self, org_id: int, caller: Caller, asked: WantedContact
    ) -> Organization | None:
        """The requested organization, once orgs knows that this row of it is gone.

        Raises:
            Refused: 404, nothing is left of it.
            Unavailable: orgs did not learn of it in time.
        """
        with db.errors():
            whose = caller.company_id, "organization", org_id
            await undertaking_store.forget_row(self.making.pool, *whose)
        try:
            async with asyncio.timeout(HEARD_S):
                while True:
                    found = await self._organization(caller, asked)
                    if found is None or found.pipedrive_org_id != org_id:
                        return found
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise Unavailable("orgs does not know yet that the organization is gone") from error

    async def _org_id(
        self, pipedrive: Pipedrive, caller: Caller, organization: Organization | None
    ) -> int | None:
        """Its id in Pipedrive, where it is created if missing. That is published before anything
        else is done: orgs must know whose row it is, whatever becomes of the command.
        """
        if organization is None or organization.pipedrive_org_id is not None:
            return organization and organization.pipedrive_org_id
        body = wanted.organization(
            name=organization.name,
            owner_id=caller.user_id,
            address=organization.address,
            website=organization.website,
        )
        name = str(organization.organization_id)
        it = Undertaking(caller.company_id, "organization", name)
        finding = Finding(pipedrive, self.neighbours, caller.headers, self.making.deadline_s)
        row = await self.making.once(
            pipedrive,
            it,
            body,
            counts_for=KNOWN_TO_ORGS,
            instead=partial(finding.organization, organization),
            serves=partial(finding.still_serves, organization),
        )
        await self.telling.pass_on(_of_organization(caller, organization, row))
        return int(row["id"])


def _of_organization(
    caller: Caller, organization: Organization, row: dict[str, Any]
) -> list[Record]:
    """Its row in Pipedrive, which may be older than this command and still unknown to us, and the
    verdict that links the two.
    """
    company_id, ours, now = caller.company_id, organization.organization_id, datetime.now(UTC)
    return [
        telling.row_record("organization", row, company_id, now),
        telling.made_for_record(ours, row, company_id, caller.user_id, now),
    ]
