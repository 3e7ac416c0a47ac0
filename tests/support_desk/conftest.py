"""The demo's real services, once for all tests, and the agent's real tools. Each test works on an order of its own."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP

from core.ports import Call
from demo.orders import Customer, SeedOrder
from demo.services import Services
from tests.support_desk.desk import AGENT, Desk, MailServer, NewCall, NewOrder
from tools.python_tool import PythonTool
from tools.registry import load_tools

_NUMBERS = itertools.count(5000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with Services.running(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="session")
def desk() -> Desk:
    found = load_tools("support_desk", AGENT, ["tools.py"])
    return {name: one for name, one in found.items() if isinstance(one, PythonTool)}


@pytest.fixture(autouse=True)
def environment(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in services.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def new_call() -> NewCall:
    def make() -> Call:
        key = hashlib.sha256(str(next(_NUMBERS)).encode()).hexdigest()[:32]
        return Call(
            key=key, task_id="task-1", step_id="r1.s1", attempt=1, deadline=datetime.now(UTC) + timedelta(seconds=30)
        )

    return make


@pytest.fixture
def call(new_call: NewCall) -> Call:
    return new_call()


@pytest.fixture
def new_order(services: Services) -> NewOrder:
    async def place(total_cents: int = 250_00, *, is_paid: bool = True, refunded_cents: int = 0) -> SeedOrder:
        number = next(_NUMBERS)
        order = SeedOrder(
            id=str(number),
            customer=Customer(id=f"c-{number}", name="Eva Lind", email=f"eva.{number}@example.com"),
            item="Kettle",
            total_cents=total_cents,
            is_paid=is_paid,
            refunded_cents=refunded_cents,
        )
        await services.place(order)
        return order

    return place


@pytest_asyncio.fixture(loop_scope="session")
async def mail_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """Start a mail server with a handler of the test's own, and point the tool to it."""
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []

    async def start(handler: object) -> None:
        server = await loop.create_server(lambda: SMTP(handler, hostname="test", loop=loop), "127.0.0.1", 0)
        servers.append(server)
        monkeypatch.setenv("SUPPORT_DESK_SMTP", f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()
