"""The naive way: the same tickets by a plain client that tries again until it hears "yes".

It uses the same tokens and the same If-Match. A token that is refused is replaced by a new one, and a version that does
not match by the one that is there: what else could a client do that keeps no record of what it sent?
"""

from dataclasses import dataclass

import httpx

from trials.world.roundup.reader import CHATTING
from trials.world.roundup.tracker import PASSWORD, USER

_TRIES = 20


class GaveUp(Exception):
    """No answer came in `_TRIES` tries."""


@dataclass(slots=True)
class NaiveClient:
    """`misled`: how often it was told no, though its own request before had been carried out or it could not know."""

    http: httpx.AsyncClient
    misled: int = 0

    async def file(self, title: str) -> None:
        """File one ticket, and set it to work."""
        while True:
            link = (await self._send("POST", "/issue/@poe", {"lifetime": 1800})).json()["data"]["link"]
            token = link.rpartition("/")[2]
            made = await self._send("POST", f"/issue/@poe/{token}", {"title": title, "priority": "bug"})
            if made.is_success:
                break
            self.misled += 1
        await self._work_on(made.json()["data"]["id"])

    async def _work_on(self, issue: str) -> None:
        while True:
            version = (await self._send("GET", f"/issue/{issue}")).json()["data"]["@etag"]
            if (await self._send("PUT", f"/issue/{issue}", {"status": CHATTING}, {"If-Match": version})).is_success:
                return
            self.misled += 1

    async def _send(
        self, method: str, path: str, body: dict[str, object] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        for _ in range(_TRIES):
            try:
                return await self.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                continue
        raise GaveUp(f"{method} {path}: no answer in {_TRIES} tries")


def client_of(address: str, origin: str) -> httpx.AsyncClient:
    """Open a client. ``address``: where it sends to; ``origin``: what the tracker is called, which it wants to hear."""
    headers = {"X-Requested-With": "rest", "Origin": origin}
    return httpx.AsyncClient(base_url=f"{address}/t/rest/data", auth=(USER, PASSWORD), headers=headers, timeout=30)
