"""The reference model on cases that can be worked out by hand."""

from datetime import timedelta

import pytest

from tests.support.histories import (
    COMPANY_ID,
    NOW,
    USER_ID,
    a_deal,
    a_lead,
    a_person,
    a_v1_webhook,
    a_webhook,
    an_activity,
    an_organization,
)
from tests.support.model import (
    comparable,
    contact_id,
    expected_pages,
    expected_scores,
    organization_id,
)
from tests.support.model_rows import normalized

OWNER = str(USER_ID)
TENANT = {"lead_labels": {"q": "qualified", "c": "contacted"}, "custom_fields": {}}


def later(minutes):
    return NOW + timedelta(minutes=minutes)


def page(*bodies, owner=OWNER, now=NOW, tenant=None):
    pages = expected_pages(bodies, company_id=COMPANY_ID, now=now, tenant=tenant or TENANT)
    return pages.get(owner, [])


def score(*bodies, now=NOW, tenant=None):
    return expected_scores(bodies, company_id=COMPANY_ID, now=now, tenant=tenant or TENANT)["8"]


def person(minutes=0, action="create", **changes):
    return a_webhook("person", action, a_person(**changes), at=later(minutes))


def org(minutes=0, action="create", **changes):
    return a_webhook("organization", action, an_organization(**changes), at=later(minutes))


def activity(minutes=0, action="create", **changes):
    return a_webhook("activity", action, an_activity(**changes), at=later(minutes))


def test_a_contact_has_the_shape_of_the_contract():
    (contact,) = page(person(), org(), activity())

    assert contact == {
        "id": contact_id(COMPANY_ID, "8"),
        "pipedrivePersonId": "8",
        "name": "Sample Person",
        "email": "sample@mail.example",
        "phone": "+372 555 0100",
        "jobTitle": None,
        # e-mail, phone, organization; one call in the last 30 days; last week
        "warmnessScore": 3 + 2 + 2,
        "lastContacted": "2026-05-31T00:00:00Z",
        "addedToCampaign": False,
        "organizationId": organization_id(COMPANY_ID, "1"),
        "organization": {
            "id": organization_id(COMPANY_ID, "1"),
            "pipedriveOrgId": "1",
            "name": "Sample Org",
            "industry": None,
            "size": None,
            "website": None,
            "address": None,
            "country": None,
            "city": None,
            "contactCount": 1,
            "lastActivity": "2026-05-31T00:00:00Z",
        },
        "activities": [
            {
                "id": "42",
                "type": "call",
                "subject": "Call",
                "done": True,
                "dueDate": "2026-05-31",
                "createdAt": "2026-05-31T09:00:00Z",
            }
        ],
        "lastPipedriveUpdate": "2026-01-02T03:04:05Z",
        "createdAt": "2026-01-02T03:04:05Z",
    }


def test_other_companies_and_deleted_people_are_not_shown():
    other = a_webhook("person", data=a_person(id=9), company_id=1)

    assert page(other) == []
    assert page(person(), person(1, "delete")) == []


def test_the_order_of_arrival_is_of_no_consequence():
    bodies = [person(0, name="Old"), person(1, "change", name="New"), org(), activity()]

    assert page(*bodies) == page(*reversed(bodies)) == page(*bodies, *bodies)


def test_a_body_that_lacks_a_field_says_nothing_about_it():
    short = a_person(name="New")
    del short["phones"], short["job_title"]
    old = {"id": 8, "job_title": "CEO", "email": [], "phone": [], "name": "x", "owner_id": USER_ID}
    (contact,) = page(
        person(0, phones=[{"value": "1", "primary": True}]),
        a_webhook("person", "change", short, at=later(2)),
        a_v1_webhook("person", "updated", old, at=later(1)),
    )

    assert contact["name"] == "New"
    assert contact["jobTitle"] == "CEO"
    assert contact["phone"] is None


def test_a_newer_body_brings_a_deleted_person_back():
    assert page(person(), person(1, "delete"), person(2))
    assert page(person(), person(1, "delete"), person(1, "change")) == []


@pytest.mark.parametrize("flag", [{"active_flag": False}, {"is_deleted": True}])
def test_flags_in_the_body_delete_too(flag):
    assert page(person(), a_webhook("person", "change", a_person() | flag, at=later(1))) == []


def test_the_losers_activities_deals_and_leads_count_for_the_survivor_through_a_chain():
    bodies = [
        *(person(id=number) for number in (7, 8, 9)),
        activity(person_id=7),
        a_webhook("deal", data=a_deal(person_id=7, value=20_000)),
        a_webhook("lead", data=a_lead(person_id=9, label_ids=["q"])),
        a_webhook("person", "delete", a_person(id=7), at=later(1), merged_to_id="9"),
        a_webhook("person", "change", a_person(id=8), at=later(2), merged_from_id="9"),
    ]

    (contact,) = page(*bodies)

    assert contact["pipedrivePersonId"] == "8"
    assert [one["id"] for one in contact["activities"]] == ["42"]
    assert score(*bodies)["relationship"] == 2 + 1


def test_a_plain_delete_after_the_merge_does_not_undo_it():
    survivor = {"id": 8, "name": "S", "owner_id": USER_ID, "merge_what_id": 7}
    bodies = [
        person(id=7),
        person(id=8),
        activity(person_id=7),
        a_v1_webhook("person", "merged", survivor, at=later(1)),
        a_v1_webhook("person", "deleted", None, at=later(2), entity_id=7),
    ]

    (contact,) = page(*bodies)

    assert contact["activities"]


def test_a_merged_person_that_lives_again_has_its_own_back():
    bodies = [
        person(id=7),
        person(id=8),
        activity(person_id=7),
        a_webhook("person", "change", a_person(id=8), at=later(1), merged_from_id="7"),
        person(2, id=7),
        person(3, "delete", id=7),
    ]

    (contact,) = page(*bodies)

    assert contact["activities"] == []


def test_spellings_of_one_name_are_one_organization_with_the_lowest_id():
    first, second = page(
        org(id=2, name="Acme, Inc."),
        org(1, id=10, name="ACME  inc", website="https://acme.example"),
        person(id=8, org_id=10),
        person(id=9, org_id=2),
    )

    assert first["organization"] == second["organization"]
    assert first["organization"]["id"] == organization_id(COMPANY_ID, "2")
    assert first["organization"]["name"] == "ACME  inc"
    assert first["organization"]["contactCount"] == 2


def test_the_newest_record_wins_a_field_but_empty_never_does():
    newest = {"value": "Tallinn, Estonia", "country": "Estonia", "locality": "Tallinn"}
    (contact,) = page(
        org(2, id=1, industry=None, employee_count=12),
        org(1, id=2, industry="Food", employee_count=5, address=newest),
        person(),
    )

    shown = contact["organization"]
    assert (shown["industry"], shown["size"]) == ("Food", "12")
    assert (shown["address"], shown["country"]) == ("Tallinn, Estonia", "Estonia")
    assert shown["city"] == "Tallinn"


def test_a_renamed_record_leaves_its_group_with_its_contacts():
    bodies = [org(id=1, name="Acme"), org(id=2, name="acme"), person(id=8, org_id=2)]
    renamed = org(1, "change", id=2, name="Other")

    assert page(*bodies)[0]["organizationId"] == organization_id(COMPANY_ID, "1")
    assert page(*bodies, renamed)[0]["organizationId"] == organization_id(COMPANY_ID, "2")


def test_names_without_letters_stand_alone():
    first, second = page(
        org(id=1, name="!!!"),
        org(id=2, name="???"),
        person(id=8, org_id=1),
        person(id=9, org_id=2),
    )

    assert first["organizationId"] != second["organizationId"]


def test_contacts_of_a_merged_organization_follow_it_and_of_a_deleted_one_do_not():
    bodies = [org(id=1), org(id=2, name="Two"), person(org_id=1)]
    merged = a_webhook(
        "organization",
        "change",
        an_organization(id=2, name="Two"),
        at=later(1),
        merged_from_id="1",
    )
    deleted = org(1, "delete", id=1)

    assert page(*bodies, merged)[0]["organization"]["name"] == "Two"
    assert page(*bodies, deleted)[0]["organization"] is None
    assert page(*bodies, deleted)[0]["organizationId"] is None
    assert score(*bodies, deleted)["base"] == 3


def test_contact_count_counts_all_owners_and_none():
    (contact,) = page(org(), person(), person(id=9, owner_id=1), person(id=10, owner_id=None))

    assert contact["organization"]["contactCount"] == 3


def test_an_organizations_last_activity_may_name_it_or_its_contact():
    done = {"done": True, "due_date": None}
    (contact,) = page(
        org(),
        person(),
        activity(5, id=1, org_id=1, person_id=None, **done),
        activity(3, id=2, **done),
    )

    assert contact["organization"]["lastActivity"] == "2026-06-01T12:05:00Z"
    assert contact["lastContacted"] == "2026-06-01T12:03:00Z"


def test_the_moment_is_the_marked_time_else_the_earlier_of_due_date_and_event():
    marked = an_activity(marked_as_done_time="2026-04-01T10:00:00Z")

    assert last(activity(due_date="2026-05-30")) == "2026-05-30T00:00:00Z"
    assert last(activity(due_date="2026-07-30")) == "2026-06-01T12:00:00Z"
    assert last(activity(due_date=None)) == "2026-06-01T12:00:00Z"
    assert last(a_webhook("activity", data=marked)) == "2026-04-01T10:00:00Z"
    assert last(activity(done=False)) is None


def last(body):
    return page(person(), body)[0]["lastContacted"]


def test_the_newest_five_activities_are_shown_higher_id_first_among_equals():
    bodies = [activity(id=number) for number in range(1, 8)]
    newer = activity(id=0, add_time="2026-05-31T10:00:00Z")

    (contact,) = page(person(), *bodies, newer)

    assert [one["id"] for one in contact["activities"]] == ["0", "7", "6", "5", "4"]


@pytest.mark.parametrize(
    ("due", "points"),
    [("2026-05-02", 0), ("2026-05-03", 2), ("2026-12-31", 2), (None, 0)],
)
def test_activity_points_count_what_is_due_within_30_days_or_later(due, points):
    assert score(person(), activity(done=False, due_date=due))["activity"] == points


def test_activity_points_are_capped_and_each_kind_counts_once():
    kinds = ["call", "call", "email", "meeting", "task"]
    bodies = [activity(id=number, type=kind) for number, kind in enumerate(kinds)]

    assert score(person(), *bodies)["activity"] == 3 + 2 + 1 + 1


@pytest.mark.parametrize(
    ("days", "points"), [(0, 2), (6, 2), (7, 1), (29, 1), (30, 0), (90, 0), (91, -1), (-5, 2)]
)
def test_engagement_depends_on_the_days_of_silence(days, points):
    marked = an_activity(marked_as_done_time="2026-03-01T00:00:00Z", due_date=None)
    now = NOW.replace(month=3, day=1, hour=0) + timedelta(days=days)

    assert score(person(), a_webhook("activity", data=marked), now=now)["engagement"] == points


def test_deals_count_whatever_their_status_in_the_tenants_currency():
    deals = [
        a_webhook("deal", data=a_deal(id=1, value=600, status="lost")),
        a_webhook("deal", data=a_deal(id=2, value=500, currency="USD")),
        a_webhook("deal", data=a_deal(id=3, value=None)),
    ]
    rates = TENANT | {"currency": "EUR", "currency_rates": {"USD": 0.5}}

    assert score(person(), *deals)["relationship"] == 1
    assert score(person(), *deals, tenant=rates)["relationship"] == 0


def test_each_lead_status_counts_once_over_open_leads():
    leads = [
        a_webhook("lead", data=a_lead(id="a", label_ids=["q", "c", "x"])),
        a_webhook("lead", data=a_lead(id="b", label_ids=["q"])),
    ]
    archived = a_webhook("lead", data=a_lead(id="a", label_ids=["q", "c"], is_archived=True))

    assert score(person(), *leads)["relationship"] == 2
    assert score(person(), archived)["relationship"] == 0


def test_custom_fields_give_the_response_rate_and_the_job_title():
    rate, title = "a" * 40, "b" * 40
    tenant = TENANT | {"custom_fields": {"response_rate": rate, "job_title": title}}
    fields = {rate: {"type": "double", "value": 0.6}, title: {"type": "varchar", "value": "CTO"}}

    new = person(custom_fields=fields)
    (contact,) = page(new, tenant=tenant)

    assert contact["jobTitle"] == "CTO"
    assert score(new, tenant=tenant) == {
        "base": 4,
        "activity": 0,
        "relationship": 0,
        "engagement": 1,
    }


def test_the_list_is_coldest_first_never_contacted_last():
    silent = person(id=9, emails=[])
    contacted = [
        person(id=10, phones=[], emails=[], org_id=None),
        activity(person_id=10, type="x"),
    ]

    found = page(person(), silent, *contacted)

    assert [(one["pipedrivePersonId"], one["warmnessScore"]) for one in found] == [
        ("9", 2),
        ("10", 3),
        ("8", 3),
    ]


def test_normalized_names_keep_letters_of_every_alphabet():
    assert normalized(" Acme,  Inc. ") == "acme inc"
    assert normalized("Blue_Ocean ÜBER 东京") == "blue_ocean über 东京"
    assert normalized("!?") == ""


def test_comparable_reads_times_whatever_their_precision():
    (contact,) = page(person(), activity())
    precise = contact | {"createdAt": "2026-01-02T03:04:05.000Z", "updatedAt": "whenever"}

    assert comparable(precise) == comparable(contact)
