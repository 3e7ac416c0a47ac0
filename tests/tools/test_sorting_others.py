"""Errors of mail servers, databases and sockets, as they really come; and those that nobody knows."""

import asyncio
import smtplib
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.ext.asyncio import create_async_engine

from core.errors import NotSent, Refused
from core.ports import Certainty, Sorted
from tests.tools.web import refusing
from tools.sorting import sort

NOT_SENT, REFUSED, UNKNOWN = Certainty.NOT_SENT, Certainty.REFUSED, Certainty.UNKNOWN


def sorted_error(action: Callable[[], object]) -> Sorted:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - what it is, is the question
        return sort(error)
    raise AssertionError("nothing was raised")


class MailRoom:
    """An SMTP handler that answers to RCPT and to the message as it is told; None = it accepts."""

    def __init__(self, rcpt: str | None = None, data: str | None = None) -> None:
        self.rcpt = rcpt
        self.data = data

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt is None:
            envelope.rcpt_tos.append(address)
        return self.rcpt or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        if self.data == "hang up":
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return self.data or "250 OK"


@contextmanager
def mailing(room: MailRoom) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    controller = Controller(room, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def send_mail(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nx")


@pytest.mark.parametrize(
    ("room", "certainty", "code"),
    [
        (MailRoom(rcpt="550 no such user"), REFUSED, "smtp_550"),
        (MailRoom(rcpt="450 greylisted"), NOT_SENT, "smtp_450"),
        (MailRoom(data="554 spam"), REFUSED, "smtp_554"),
        (MailRoom(data="451 try later"), NOT_SENT, "smtp_451"),
        (MailRoom(data="hang up"), UNKNOWN, "smtp_error"),
    ],
)
def test_reply_of_the_mail_server_decides(room: MailRoom, certainty: Certainty, code: str) -> None:
    with mailing(room) as port:
        found = sorted_error(lambda: send_mail(port))
    assert (found.certainty, found.code) == (certainty, code)


def test_mail_server_that_is_not_there_was_not_sent_to() -> None:
    with refusing() as port:
        assert sorted_error(lambda: send_mail(port)).certainty is NOT_SENT


def test_greeting_that_is_no_welcome_was_not_sent() -> None:
    assert sort(smtplib.SMTPConnectError(554, "no")).certainty is NOT_SENT


def test_some_recipients_refused_for_now_may_be_tried_again() -> None:
    refused = {"a": (550, b"no"), "b": (451, b"later")}
    assert sort(smtplib.SMTPRecipientsRefused(refused)).certainty is NOT_SENT


def test_errors_of_aiosmtplib_are_sorted_by_their_code() -> None:
    kind = type("SMTPDataError", (Exception,), {"__module__": "aiosmtplib.errors", "code": 554})
    assert sort(kind("no")).code == "smtp_554"


TABLE = "create table t (id integer primary key, n integer not null unique)"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/t.db", connect_args={"timeout": 0.01})
    with engine.begin() as connection:
        connection.execute(sa.text(TABLE))
        connection.execute(sa.text("insert into t values (1, 1)"))
    yield engine
    engine.dispose()


def execute(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    ("statement", "code"),
    [("insert into t values (2, 1)", "integrity"), ("insert into nope values (1)", "database_error")],
)
def test_statement_that_sqlite_rejects(engine: sa.Engine, statement: str, code: str) -> None:
    found = sorted_error(lambda: execute(engine, statement))
    assert found.code == code
    assert "insert" not in found.message


def test_locked_database_was_not_written(engine: sa.Engine, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as other:
        other.execute("begin immediate")
        found = sorted_error(lambda: execute(engine, "insert into t values (2, 2)"))
    assert (found.certainty, found.code) == (NOT_SENT, "rolled_back")


def test_database_that_cannot_be_opened_was_not_written(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/no/t.db")
    assert sorted_error(lambda: execute(engine, TABLE)).certainty is NOT_SENT


def test_pool_without_a_free_connection_was_not_sent(tmp_path: Path) -> None:
    engine = sa.create_engine(
        f"sqlite:///{tmp_path}/t.db", poolclass=sa.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with engine.connect():
        found = sorted_error(lambda: execute(engine, TABLE))
    engine.dispose()
    assert (found.certainty, found.code) == (NOT_SENT, "no_connection_free")


async def test_postgres_that_is_not_there_was_not_sent_to() -> None:
    with refusing() as port:
        engine = create_async_engine(f"postgresql+asyncpg://u@127.0.0.1:{port}/db")
        with pytest.raises((OSError, sa.exc.SQLAlchemyError)) as caught:
            await connect_and_leave(engine)
    assert sort(caught.value).certainty is NOT_SENT


async def connect_and_leave(engine: Any) -> None:
    async with engine.connect():
        pass


@pytest.mark.parametrize(
    ("state", "certainty"),
    [
        ("40001", NOT_SENT),
        ("40P01", NOT_SENT),
        ("08001", NOT_SENT),
        ("53300", NOT_SENT),
        ("23505", REFUSED),
        ("42P01", REFUSED),
        ("22003", REFUSED),
        ("08006", UNKNOWN),
        ("57P01", UNKNOWN),
        ("40003", UNKNOWN),
    ],
)
def test_sqlstate_of_postgres_decides(state: str, certainty: Certainty) -> None:
    driver = type("PostgresError", (Exception,), {"sqlstate": state})("no")
    assert sort(sa.exc.DBAPIError("insert", {}, driver)).certainty is certainty
    assert sort(driver).certainty is certainty


@pytest.mark.parametrize(
    ("error", "certainty", "code"),
    [
        (Refused("not_refundable", "it was paid in cash"), REFUSED, "not_refundable"),
        (NotSent("busy"), NOT_SENT, "not_sent"),
        (ConnectionRefusedError(), NOT_SENT, "connect_failed"),
        (socket.gaierror(-2, "Name or service not known"), NOT_SENT, "name_not_found"),
        (ConnectionResetError(), UNKNOWN, "connection_lost"),
        (BrokenPipeError(), UNKNOWN, "connection_lost"),
        (ConnectionAbortedError(), UNKNOWN, "connection_lost"),
        (TimeoutError(), UNKNOWN, "timeout"),
        (asyncio.CancelledError(), UNKNOWN, "cancelled"),
        (KeyError("id"), UNKNOWN, "error"),
        (FileNotFoundError("x"), UNKNOWN, "error"),
        (OSError(113, "No route to host"), UNKNOWN, "error"),
        (ExceptionGroup("two", [NotSent("a"), NotSent("b")]), UNKNOWN, "error"),
        (SystemExit(1), UNKNOWN, "error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_is_sorted(error: BaseException, certainty: Certainty, code: str) -> None:
    found = sort(error)
    assert (found.certainty, found.code) == (certainty, code)


def test_wait_that_the_tool_asks_for_is_kept() -> None:
    assert sort(NotSent("busy", retry_after=3)).retry_after == 3


async def test_host_with_several_addresses_that_all_refuse_was_not_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing() as one, refusing() as two:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (one, two)]

        async def resolve(*args: object, **kwargs: object) -> list[Any]:
            return addresses

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)  # a host with two addresses
        with pytest.raises(OSError, match="Multiple exceptions") as caught:
            await asyncio.open_connection("shop.example", 1)
    assert sort(caught.value).code == "connect_failed"


class Hostile(Exception):
    """An error whose every attribute raises."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_error_that_raises_when_it_is_looked_at_is_unknown() -> None:
    assert sort(Hostile()).model_dump() == {
        "certainty": UNKNOWN,
        "code": "error",
        "message": "Hostile",
        "retry_after": None,
    }


def test_long_text_is_cut() -> None:
    assert len(sort(ValueError("x" * 10_000)).message) == 500
