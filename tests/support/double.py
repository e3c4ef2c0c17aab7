"""The Pipedrive double as a process that answers the REST API, and its screws."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-double"
ADDRESS = re.compile(r"REST API at (http://\S+)")
START_S = 60.0


@dataclass
class Double:
    """`url` is what a tenant's `api_domain` says."""

    url: str
    http: aiohttp.ClientSession

    def tenant(self) -> dict[str, str]:
        return {"api_token": TOKEN, "api_domain": self.url}

    async def turn(self, method: str, path: str = "", body: Any = None) -> Any:
        """`/_double…`: see `devstack.pipedrive.api.control`."""
        url = f"{self.url}/_double{path}"
        async with self.http.request(method, url, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Of the API itself, as somebody else with the token would."""
        headers = {"x-api-token": TOKEN}
        url = f"{self.url}/api{path}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return (await response.json()).get("data")

    async def happen(self, events: int) -> None:
        await self.turn("POST", "/happen", {"events": events})

    async def bodies(self, version: str = "1") -> list[dict[str, Any]]:
        """Every change so far, as webhooks would tell it."""
        found: list[dict[str, Any]] = await self.turn("GET", f"/bodies?version={version}")
        return found

    async def hooks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.ask("GET", "/v1/webhooks")
        return found


@asynccontextmanager
async def double(folder: Path, company_id: int, *more: str) -> AsyncIterator[Double]:
    log = folder / "double.log"
    arguments = ["--company", company_id, "--rest-port", 0, "--api-token", TOKEN, "--rate", 0]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: ASYNC220  it takes no time to start
            [sys.executable, "-m", "devstack.pipedrive", *map(str, arguments), *more],
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        url = await _address(process, log)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            yield Double(url, http)
    finally:
        process.terminate()
        process.wait(30)


async def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    def said() -> str:
        return log.read_text()

    async def is_there() -> bool:
        assert process.poll() is None, said()
        return "rows exist" in said()

    await until(is_there, START_S)
    address: str = ADDRESS.findall(said())[0]
    return address
