"""The mail server: an SMTP sink that writes each message it accepts as one ``.eml`` file."""

import asyncio
import itertools
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """All mail that was delivered to `url`, in `folder`. Nothing is deduplicated: a second delivery is seen."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self._numbers = itertools.count(1)

    async def start(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mailbox.example", loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0
        )
        self.url = f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Keep one message, complete or not at all, before it is acknowledged."""
        content = envelope.original_content or b""
        path = self.folder / f"{next(self._numbers):04d}.eml"
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(content)
        unfinished.rename(path)
        return "250 2.0.0 kept"

    def messages(self, to: str | None = None) -> Sequence[EmailMessage]:
        """Read the mail, oldest first; with `to`, only what is addressed to that person."""
        every = [_read(path) for path in sorted(self.folder.glob("*.eml"))]
        return [message for message in every if to is None or to in str(message["To"])]

    async def stop(self) -> None:
        """Stop listening."""
        self._server.close()
        await self._server.wait_closed()


def _read(path: Path) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    if not isinstance(message, EmailMessage):  # the default policy makes nothing else
        raise TypeError(f"{path} is no e-mail")
    return message
