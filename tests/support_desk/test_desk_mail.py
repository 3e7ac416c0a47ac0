import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from core.errors import Refused
from core.ports import Call, Certainty
from core.record import Json
from demo.child import free_port
from demo.services import Services
from tests.support_desk.desk import Desk, MailServer, NewCall, sorted_error
from tools.python_tool import PythonTool

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODY = "Dear Éva,\n\n.a line that begins with a dot\n" + "x" * 2_000 + "\nKind regards\n"


@pytest.fixture
def send_email(desk: Desk) -> PythonTool:
    return desk["send_email"]


def letter(to: str = "eva@example.com", subject: str = "Your refund", body: str = "We refunded it.") -> dict[str, Json]:
    return {"to": to, "subject": subject, "body": body}


class Answering:
    """Answers RCPT and the end of DATA with the replies that a test gives."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 OK") -> None:
        self.rcpt, self.data = rcpt, data

    async def handle_RCPT(  # noqa: N802 - its name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        return self.data


class HangingUp:
    """Takes the whole message and then closes the connection instead of answering."""

    def __init__(self) -> None:
        self.taken = asyncio.Event()

    async def handle_DATA(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        self.taken.set()
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
        return "250 OK"


async def test_message_arrives_as_it_was_written_under_an_id_of_its_effect(
    send_email: PythonTool, call: Call, services: Services
) -> None:
    sent = await send_email.send(call, letter(to="arrives@example.com", subject="Ünterwegs", body=BODY))
    [message] = services.mailbox.messages(to="arrives@example.com")
    assert message.get_content().replace("\r\n", "\n") == BODY
    assert message["Subject"] == "Ünterwegs"
    assert message["From"] == "Support <support@shop.example>"
    assert message["Message-ID"] == f"<{call.key}@lastmile.shop.example>"
    assert sent == {"message_id": message["Message-ID"], "to": "arrives@example.com", "subject": "Ünterwegs"}


async def test_second_copy_has_the_same_id_and_is_seen_by_the_mailbox(
    send_email: PythonTool, call: Call, services: Services
) -> None:
    for _ in range(2):
        await send_email.send(call, letter(to="twice@example.com"))
    first, second = services.mailbox.messages(to="twice@example.com")
    assert first["Message-ID"] == second["Message-ID"]


async def test_mail_is_never_repeated_by_itself(send_email: PythonTool) -> None:
    assert send_email.contract.effect.value == "unrepeatable"
    assert send_email.contract.identity == ("to",)


async def test_mail_server_that_is_down_was_sent_nothing(
    send_email: PythonTool, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_SMTP", f"smtp://127.0.0.1:{free_port()}")
    assert (await sorted_error(send_email, call, letter())).certainty is Certainty.NOT_SENT


@pytest.mark.parametrize(
    ("handler", "certainty"),
    [
        (Answering(rcpt="450 4.2.1 mailbox busy"), Certainty.NOT_SENT),
        (Answering(rcpt="550 5.1.1 no such user"), Certainty.REFUSED),
        (Answering(data="451 4.3.0 try again"), Certainty.NOT_SENT),
        (Answering(data="554 5.6.0 no"), Certainty.REFUSED),
    ],
    ids=["recipient not now", "recipient no", "message not now", "message no"],
)
async def test_reply_of_the_mail_server_decides(
    send_email: PythonTool, call: Call, mail_server: MailServer, handler: Answering, certainty: Certainty
) -> None:
    await mail_server(handler)
    assert (await sorted_error(send_email, call, letter())).certainty is certainty


async def test_connection_lost_after_the_message_leaves_its_outcome_unknown(
    send_email: PythonTool, call: Call, mail_server: MailServer
) -> None:
    handler = HangingUp()
    await mail_server(handler)
    assert (await sorted_error(send_email, call, letter())).certainty is Certainty.UNKNOWN
    assert handler.taken.is_set()


async def test_message_is_not_begun_shortly_before_the_deadline(
    send_email: PythonTool, new_call: NewCall, services: Services
) -> None:
    call = replace(new_call(), deadline=datetime.now(UTC) + timedelta(seconds=9))
    assert (await sorted_error(send_email, call, letter(to="late@example.com"))).certainty is Certainty.NOT_SENT
    assert not services.mailbox.messages(to="late@example.com")


async def test_password_is_not_sent_in_the_clear(
    send_email: PythonTool, call: Call, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_SMTP", services.mailbox.url.replace("smtp://", "smtp://desk:hunter2@"))
    error = await sorted_error(send_email, call, letter(to="clear@example.com"))
    assert (error.certainty, error.code) == (Certainty.REFUSED, "no_tls")
    assert "hunter2" not in error.message
    assert not services.mailbox.messages(to="clear@example.com")


@pytest.mark.parametrize("address", ["localhost:25", "http://127.0.0.1", "smtp://"])
async def test_setting_that_is_no_mail_server_is_named(
    send_email: PythonTool, call: Call, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("SUPPORT_DESK_SMTP", address)
    with pytest.raises(Refused, match="SUPPORT_DESK_SMTP"):
        await send_email.send(call, letter())


@pytest.mark.parametrize(
    "args",
    [
        letter(to="eva@example.com, other@example.com"),
        letter(to="eva@example.com\nBcc: other@example.com"),
        letter(to="<eva@example.com>"),
        letter(to="eva"),
        letter(subject="hello\r\nBcc: other@example.com"),
        letter(subject=""),
        letter(body=""),
    ],
)
async def test_letter_that_could_go_elsewhere_or_says_nothing_is_refused(
    send_email: PythonTool, args: dict[str, Json]
) -> None:
    with pytest.raises(Refused, match="send_email"):
        send_email.check(args)
