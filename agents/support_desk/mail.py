"""E-mail to customers over SMTP (SUPPORT_DESK_SMTP, SUPPORT_DESK_FROM).

The effect is *unrepeatable*: a mail server cannot be asked whether it took a message, and it delivers a second copy as
readily as the first. Each effect has one Message-ID for good, so that mail programs can drop duplicates, but nobody may
rely on it. After a doubt a person says what happened.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from tools import Call, FreeText, NotSent, Refused, tool

from .settings import setting

_REPLY_S = 5.0
"""Seconds that the server may take for one reply."""

_HAND_OVER_S = 2 * _REPLY_S
"""Seconds that must be left when the message itself is handed over: one write and one reply."""

_YES, _NO = 2, 5
"""First digits of replies."""

Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$", max_length=254)]
Subject = Annotated[FreeText, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Body = Annotated[FreeText, Field(min_length=1, max_length=20_000)]


class Sent(BaseModel):
    """A message that the mail server has taken."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    to: str
    subject: str


@tool(effect="unrepeatable", timeout="30s", identity=["to"], approve_hint="send an e-mail to {to}: {subject}")
def send_email(call: Call, to: Address, subject: Subject, body: Body) -> Sent:
    """Send one plain-text e-mail. Take the address from the order that was looked up, not from anybody's text."""
    server, message = _server(), _compose(call, to, subject, body)
    with _nothing_given_yet(server):
        connection = _connect(server)
    try:
        with _nothing_given_yet(server):
            _open_envelope(connection, server, message)
        _check_time(call)
        _accepted(*connection.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n"))))
        with suppress(OSError, smtplib.SMTPException):
            connection.quit()
    finally:
        connection.close()
    return Sent(message_id=message["Message-ID"], to=to, subject=subject)


def _server() -> SplitResult:
    url = urlsplit(setting("SUPPORT_DESK_SMTP", "the mail server, as smtp://host:port"))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise Refused("not_configured", "SUPPORT_DESK_SMTP has to be smtp://host:port or smtps://user:password@host")
    return url


def _compose(call: Call, to: str, subject: str, body: str) -> EmailMessage:
    sender = setting("SUPPORT_DESK_FROM", "the sender of e-mails")
    message = EmailMessage()
    message["Message-ID"] = f"<{call.key}@lastmile.{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Date"] = formatdate()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: keeps out-of-office replies away
    message.set_content(body)
    return message


def _connect(server: SplitResult) -> smtplib.SMTP:
    host, port = server.hostname or "", server.port or 0
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=_REPLY_S, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=_REPLY_S)


def _open_envelope(connection: smtplib.SMTP, server: SplitResult, message: EmailMessage) -> None:
    connection.ehlo_or_helo_if_needed()
    _log_in(connection, server)
    _accepted(*connection.mail(parseaddr(message["From"])[1]))
    _accepted(*connection.rcpt(message["To"]))


def _log_in(connection: smtplib.SMTP, server: SplitResult) -> None:
    is_private = server.scheme == "smtps"
    if not is_private and connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
        connection.ehlo()
        is_private = True
    if server.username and not is_private:
        raise Refused("no_tls", f"{server.hostname} offers no encryption, and a password is not sent in the clear")
    if server.username:
        connection.login(unquote(server.username), unquote(server.password or ""))


@contextmanager
def _nothing_given_yet(server: SplitResult) -> Iterator[None]:
    """Sort what goes wrong before the message is handed over: a definite no, or not sent."""
    try:
        yield
    except smtplib.SMTPResponseException as error:
        said = f"the mail server {server.hostname} answered {error.smtp_code} {_readable(error.smtp_error)}"
        if error.smtp_code // 100 == _NO:
            raise Refused(f"smtp_{error.smtp_code}", said) from error
        raise NotSent(said) from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"the mail server {server.hostname} cannot be used: {type(error).__name__}: {error}") from error


def _accepted(code: int, reply: bytes) -> None:
    """Raise for any reply but a yes. The first digit decides (RFC 5321, 4.2.1): 2 = yes, 4 = not now, 5 = no.

    After the message was handed over this is sorted by the runtime's rules for smtplib, which read that digit too; a
    lost connection or an unreadable reply then leaves the outcome unknown.
    """
    if code // 100 != _YES:
        raise smtplib.SMTPResponseException(code, reply)


def _readable(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


def _check_time(call: Call) -> None:
    """Refuse to begin what the deadline would cut: a thread cannot be stopped, and would deliver unseen."""
    left_s = (call.deadline - datetime.now(UTC)).total_seconds()
    if left_s < _HAND_OVER_S:
        raise NotSent(f"the mail server took so long that only {left_s:.0f} s were left to hand the message over")
