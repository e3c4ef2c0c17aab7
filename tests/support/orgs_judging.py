"""What users judge and see of organizations, asked as they would."""

from typing import Any

from services.orgs.judging import asking
from shared import db, ids
from tests.support.orgs_facts import OURS, bearer
from tests.support.orgs_store import Client


async def ask(pool: db.Pool) -> None:
    """Until every record was looked at."""
    while await asking.ask(pool):
        pass


async def get(client: Client, path: str, company_id: int = OURS) -> tuple[int, Any]:
    async with client.get(f"/api/organizations{path}", headers=bearer(company_id)) as response:
        return response.status, await response.json()


async def post(client: Client, path: str, company_id: int = OURS, **body: Any) -> tuple[int, Any]:
    async with client.post(
        f"/api/organizations{path}", json=body, headers=bearer(company_id)
    ) as response:
        return response.status, await response.json()


async def reviews(pool: db.Pool, client: Client) -> list[dict[str, Any]]:
    """The first page of them, once all are there."""
    await ask(pool)
    status, body = await get(client, "/reviews")
    assert status == 200, body
    found: list[dict[str, Any]] = body["data"]["reviews"]
    return found


async def home(client: Client, number: int) -> str:
    """To which organization the id of a record leads."""
    status, body = await get(client, f"/{ids.organization(OURS, number)}")
    assert status == 200, body
    found: str = body["data"]["id"]
    return found


def org_id(number: int) -> str:
    return str(ids.organization(OURS, number))


def sides(review: dict[str, Any]) -> set[str]:
    return {review[side]["organization"]["id"] for side in ("winner", "loser")}
