"""Bodies have the shapes that Pipedrive sends, and both versions tell the same."""

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from devstack.pipedrive.bodies import Hook, retried, v2
from devstack.pipedrive.bodies_v1 import can_say, v1
from devstack.pipedrive.company import EVENTFUL, Company
from devstack.pipedrive.world import Sizes

EPOCH = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOOK = Hook(8087566, (1001, 1002, 1003), seed=3)
# Recorded deliveries beside the checkout, where there are any.
RECORDED = Path(__file__).resolve().parents[4] / "shared" / "pipedrive" / "webhooks"

META = {
    "action",
    "company_id",
    "correlation_id",
    "entity_id",
    "entity",
    "id",
    "is_bulk_edit",
    "timestamp",
    "type",
    "user_id",
    "version",
    "webhook_id",
    "webhook_owner_id",
    "change_source",
    "permitted_user_ids",
    "attempt",
    "host",
}
SHAPES = {
    "person": "id name first_name last_name emails phones label label_ids org_id owner_id "
    "add_time update_time visible_to custom_fields",
    "organization": "id name owner_id address country_code label picture_id add_time "
    "update_time visible_to custom_fields",
    "deal": "id title value currency status stage_id pipeline_id person_id org_id owner_id "
    "creator_user_id label_ids probability lost_reason expected_close_date close_time won_time "
    "first_won_time lost_time stage_change_time add_time update_time origin origin_id channel "
    "channel_id visible_to custom_fields is_archived archive_time",
    "activity": "id subject type done due_date due_time duration busy_flag active_flag owner_id "
    "person_id deal_id lead_id org_id location public_description update_user_id add_time "
    "update_time custom_fields",
    "lead": "id title owner_id creator_id person_id organization_id label_ids value "
    "expected_close_date is_archived was_seen next_activity_id source_name origin origin_id "
    "channel channel_id add_time update_time custom_fields",
    "note": "id content user_id deal_id person_id org_id lead_id project_id active_flag "
    "pinned_to_deal_flag pinned_to_person_flag pinned_to_organization_flag add_time update_time",
    "user": "id name email active_flag locale lang timezone_name default_currency phone icon_url "
    "created modified last_login access",
}
OPTIONAL = {
    "organization": {"website", "linkedin", "industry", "annual_revenue", "employee_count"}
}


@pytest.fixture(scope="module")
def life():
    company = Company(3, Sizes(3, 60, 40), EPOCH, EVENTFUL)
    live = company.live(lambda number: EPOCH + timedelta(seconds=number))
    return [*company.history(), *islice(live, 500)]


def one_of(life, entity, action="create", *, merged=False):
    return next(
        one
        for one in life
        if (one.entity, one.action) == (entity, action)
        and (one.merged_to is not None or one.merged_from is not None) == merged
    )


@pytest.mark.parametrize("entity", SHAPES)
def test_v2_data_has_the_keys_of_its_entity(life, entity):
    for one in life:
        if one.entity == entity and one.state:
            keys = set(v2(one, HOOK)["data"])
            assert keys - OPTIONAL.get(entity, set()) == set(SHAPES[entity].split())


def test_v2_ids_in_meta_are_strings_and_ids_in_data_are_numbers(life):
    body = v2(one_of(life, "person"), HOOK)

    assert list(body) == ["data", "previous", "meta"]
    assert set(body["meta"]) == META
    assert body["meta"]["company_id"] == "8087566"
    assert body["meta"]["entity_id"] == str(body["data"]["id"])
    assert body["meta"]["permitted_user_ids"] == ["1001", "1002", "1003"]
    assert isinstance(body["data"]["owner_id"], int)
    assert body["data"]["visible_to"] == "3"
    assert len(body["meta"]["timestamp"]) == len("2026-01-14T18:16:56.057Z")


def test_v2_created_deals_have_no_update_time(life):
    assert v2(one_of(life, "deal"), HOOK)["data"]["update_time"] is None
    assert v2(one_of(life, "deal", "change"), HOOK)["data"]["update_time"]


def test_v2_previous_of_a_change_holds_only_what_differed(life):
    for one in life:
        if one.action == "change":
            body = v2(one, HOOK)
            for key, old in body["previous"].items():
                if key != "custom_fields":
                    assert body["data"].get(key) != old


def test_v2_previous_of_a_custom_field_holds_only_the_changed_ones(life):
    body = next(
        body
        for one in life
        if one.entity == "person" and one.action == "change"
        for body in [v2(one, HOOK)]
        if "custom_fields" in body["previous"]
    )

    (key,) = body["previous"]["custom_fields"]
    assert body["data"]["custom_fields"][key]["type"] == "double"


def test_v2_deletes_have_no_data_and_the_last_state_as_previous(life):
    body = v2(one_of(life, "activity", "delete"), HOOK)

    assert body["data"] is None
    assert set(body["previous"]) == set(SHAPES["activity"].split())


def test_v2_merges_name_the_other_side(life):
    lost = v2(one_of(life, "person", "delete", merged=True), HOOK)
    won = v2(one_of(life, "person", "change", merged=True), HOOK)

    assert lost["meta"]["merged_to_id"] == won["meta"]["entity_id"]
    assert won["meta"]["merged_from_id"] == lost["meta"]["entity_id"]


def test_v2_users_repeat_their_id_as_event_id_and_are_permitted_to_nobody(life):
    body = v2(one_of(life, "user"), HOOK)

    assert body["meta"]["id"] == body["data"]["id"] == "1001"
    assert "permitted_user_ids" not in body["meta"]


def test_v2_bodies_never_carry_what_pipedrive_leaves_out(life):
    bodies = [v2(one, HOOK)["data"] or {} for one in life]

    hidden = ("job_title", "marked_as_done_time", "note")
    assert not any(key in data for data in bodies for key in hidden)


def test_event_ids_are_unique_and_repeatable(life):
    ids = [v2(one, HOOK)["meta"]["id"] for one in life if one.entity != "user"]

    assert len(set(ids)) == len(ids)
    assert ids == [v2(one, HOOK)["meta"]["id"] for one in life if one.entity != "user"]


def test_v1_bodies_are_full_on_both_sides(life):
    body = v1(one_of(life, "person", "change"), HOOK)

    assert body["event"] == "updated.person"
    assert set(body["current"]) == set(body["previous"])
    assert body["meta"]["timestamp_micro"] // 1_000_000 == body["meta"]["timestamp"]


def test_v1_empty_contact_points_are_one_empty_entry(life):
    change = next(one for one in life if one.entity == "person" and one.state["emails"] == [])

    assert v1(change, HOOK)["current"]["email"] == [{"value": "", "primary": True}]


def test_v1_owners_have_the_name_that_each_entity_uses(life):
    deal, activity = (v1(one_of(life, kind), HOOK)["current"] for kind in ("deal", "activity"))
    person = v1(one_of(life, "person"), HOOK)["current"]

    assert "owner_id" not in deal
    assert deal["user_id"]
    assert "owner_id" not in activity
    assert activity["user_id"]
    assert person["owner_id"]
    assert person["owner_name"]


def test_v1_merges_are_about_the_survivor_with_the_loser_as_previous(life):
    change = one_of(life, "organization", "change", merged=True)
    body = v1(change, HOOK)

    assert body["event"] == "merged.organization"
    assert body["meta"]["id"] == body["current"]["id"] == change.entity_id
    assert body["current"]["merge_what_id"] == body["previous"]["id"] == change.merged_from


def test_v1_users_come_in_lists_and_leads_not_at_all(life):
    assert v1(one_of(life, "user"), HOOK)["current"][0]["id"] == 1001
    assert not can_say(one_of(life, "lead"))


def test_v1_undone_activities_have_an_empty_completion_time(life):
    for one in life:
        if one.entity == "activity" and one.state:
            body = v1(one, HOOK)["current"]
            assert bool(body["marked_as_done_time"]) == body["done"]


def test_both_versions_tell_the_same(life):
    for one in life:
        if one.state and one.entity in ("person", "deal", "activity", "organization"):
            new, old = v2(one, HOOK)["data"], v1(one, HOOK)["current"]
            assert old["add_time"] == new["add_time"].replace("T", " ").rstrip("Z")
            for key in (
                "id",
                "org_id",
                "person_id",
                "name",
                "value",
                "done",
                "due_date",
                "status",
            ):
                assert old.get(key) == new.get(key)
            for key, field in new["custom_fields"].items():
                assert old[key] == (field and field["value"])


def test_retries_count_their_attempts(life):
    change = one_of(life, "person")

    assert retried(v2(change, HOOK), 3)["meta"]["attempt"] == 3
    assert retried(v1(change, HOOK), 3)["retry"] == 2


def test_all_bodies_are_plain_json(life):
    for one in life:
        json.dumps(v2(one, HOOK))
        if can_say(one):
            json.dumps(v1(one, HOOK))


# Keys that only some companies' or years' bodies have.
OF_SOME_YEARS = {
    "v1-activity-added-01": {
        "gcal_event_id",
        "google_calendar_id",
        "google_calendar_etag",
        "person_dropbox_bcc",
        "deal_dropbox_bcc",
        "updates_story_id",
        "no_gcal",
    },
    "v1-organization-added-01": {
        "reference_activities_count",
        "address_lat",
        "address_long",
    },
}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_recorded_bodies_have_no_key_that_ours_lack(life, version):
    recorded = sorted(RECORDED.glob(f"{version}-*-01.json")) + sorted(
        RECORDED.glob(f"{version}-person-updated-03*.json")
    )
    compared = 0
    for file in recorded:
        body = json.loads(file.read_text())
        entity = body["meta"].get("entity", body["meta"].get("object"))
        shown = body.get("data") or body.get("current")
        if entity not in SHAPES or not shown or "monetary" in file.name:
            continue
        change = one_of(life, entity)
        ours = v2(change, HOOK)["data"] if version == "v2" else v1(change, HOOK)["current"]
        hashes = {key for key in shown if len(key) >= 40}
        missing = set(shown) - set(ours) - hashes - OF_SOME_YEARS.get(file.stem, set())
        assert missing - {"reference_activities_count", "primary_email", "weighted_value"} == set()
        compared += 1

    assert compared > 3 or not RECORDED.exists()
