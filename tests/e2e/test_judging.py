"""What a user decides about organizations reaches the pages, and comes back when it is undone."""

from typing import Any

import pytest

from tests.support import histories
from tests.support.cluster import Cluster, Instance, token
from tests.support.pipe import COMPANY, a_tenant, push
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

OWNER = str(histories.USER_ID)


async def post(cluster: Cluster, url: str, **body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token(COMPANY, OWNER)}"}
    async with cluster.http.post(url, json=body, headers=headers) as response:
        told = await response.json()
        assert response.status == 200, told
        return told["data"]


async def shown(cluster: Cluster, query: Instance) -> dict[str, Any]:
    """Each contact's organization, by the person's id."""
    _, body = await cluster.get(f"{query.url}/api/my-500", COMPANY, OWNER)
    return {one["pipedrivePersonId"]: one["organization"] for one in body["data"]["contacts"]}


async def test_a_question_answered_is_on_the_page_until_it_is_undone(cluster: Cluster) -> None:
    cluster.write_tenants([a_tenant(COMPANY)])
    services = await cluster.start_all()
    orgs, query = services["orgs"].url, services["query"]
    names = {1: "Nordwind Logistics GmbH", 2: "Nordwind Logistic GmbH"}
    sent = []
    for number, name in names.items():
        org = histories.an_organization(id=number, name=name)
        person = histories.a_person(id=number + 10, org_id=number)
        sent.append(histories.a_webhook("organization", data=org, company_id=COMPANY))
        sent.append(histories.a_webhook("person", data=person, company_id=COMPANY))
    assert set(await push(cluster, services["ingest"], sent)) == {200}
    open_reviews: list[Any] = []

    async def is_asked() -> bool:
        nonlocal open_reviews
        _, body = await cluster.get(f"{orgs}/api/organizations/reviews", COMPANY, OWNER)
        open_reviews = body["data"]["reviews"]
        return bool(open_reviews)

    async def are(count: int) -> None:
        async def is_so() -> bool:
            found = [one for one in (await shown(cluster, query)).values() if one]
            ids = {one["id"] for one in found}
            return len(found) == 2 and len(ids) == count and found[0]["contactCount"] == 3 - count

        await until(is_so)

    await are(2)
    await until(is_asked)
    (review,) = open_reviews
    decided = await post(
        cluster, f"{orgs}/api/organizations/reviews/{review['id']}", decision="merge"
    )
    await are(1)
    survivor = (await shown(cluster, query))["11"]["id"]
    assert survivor == decided["organizationId"]

    await post(cluster, f"{orgs}/api/organizations/merges/{decided['verdictId']}/undo")

    await are(2)
