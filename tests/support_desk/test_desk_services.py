import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from core.errors import CallerError
from demo.child import Child, NotStarted
from demo.proxy import NothingTaken
from demo.services import Counts, Services
from tests.support_desk.desk import Desk, NewCall, NewOrder

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]

OWNER = """
import asyncio, sys
from pathlib import Path
from urllib.parse import urlsplit
from demo.services import Services

async def main():
    async with Services.running(Path(sys.argv[1])) as services:
        addresses = [services.payments.url, services.crm.url, services.mailbox.url, services.proxy.url]
        print(*[urlsplit(address).port for address in addresses], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

CLIENT = """
import sys, httpx
print(httpx.post(sys.argv[1] + "/v1/refunds", data={"payment_intent": sys.argv[2]}, auth=("sk_test_x", "")).status_code)
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def becomes_true(fact: Callable[[], bool], within_s: float = 15) -> bool:
    until = time.monotonic() + within_s
    while not fact() and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return fact()


async def test_seed_is_there_and_nothing_is_done_yet(services: Services) -> None:
    assert await services.counts("1042") == Counts(refunds=0, refunded_cents=0, emails=0, notes=0, booked_cents=0)
    assert await services.counts("1044") == Counts(
        refunds=1, refunded_cents=99_00, emails=0, notes=0, booked_cents=99_00
    )
    assert services.orders.find("1045").payment_intent is None


async def test_what_was_done_is_counted_at_the_services(
    services: Services, desk: Desk, new_call: NewCall, new_order: NewOrder
) -> None:
    order, other = await new_order(), await new_order()
    for about in (order, order, other):
        await desk["issue_refund"].send(new_call(), {"order_id": about.id, "amount_cents": 5_00})
        await desk["send_email"].send(new_call(), {"to": about.customer.email, "subject": "s", "body": "b"})
        await desk["add_customer_note"].send(
            new_call(), {"customer_id": about.customer.id, "order_id": about.id, "text": "t"}
        )
    assert await services.counts(order.id) == Counts(refunds=2, refunded_cents=10_00, emails=2, notes=2, booked_cents=0)


async def test_only_the_first_refund_is_held_and_others_pass(
    services: Services, desk: Desk, new_call: NewCall, new_order: NewOrder
) -> None:
    order = await new_order()
    args = {"order_id": order.id, "amount_cents": 1_00}
    hold = services.proxy.hold_next_refund()
    held = asyncio.create_task(desk["issue_refund"].send(new_call(), args))
    await hold.taken(timedelta(seconds=10))
    assert (await desk["issue_refund"].send(new_call(), args))["status"] == "succeeded"
    assert (await desk["get_order"].send(new_call(), {"order_id": order.id}))["order_id"] == order.id
    assert not held.done()
    hold.drop()
    with pytest.raises(Exception, match="communicating with Stripe"):
        await held


async def test_killed_client_never_hears_of_the_refund_that_it_made(services: Services, new_order: NewOrder) -> None:
    order = await new_order()
    hold = services.proxy.hold_next_refund()
    intent = services.orders.find(order.id).payment_intent
    client = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", CLIENT, services.proxy.url, str(intent)], stdout=subprocess.PIPE
    )
    await hold.taken(timedelta(seconds=20))
    os.kill(client.pid, signal.SIGKILL)
    heard, _ = await client.communicate()
    hold.drop()
    assert heard == b""
    assert (await services.counts(order.id)).refunds == 1


async def test_refund_that_the_provider_refuses_is_not_held(services: Services) -> None:
    hold = services.proxy.hold_next_refund()
    async with httpx.AsyncClient(base_url=services.proxy.url, headers={"Authorization": "Bearer sk_test_x"}) as client:
        answer = await client.post("/v1/refunds", data={"payment_intent": "pi_unknown"})
    assert answer.status_code == 404
    with pytest.raises(NothingTaken, match="no refund reached"):
        await hold.taken(timedelta(milliseconds=1))


async def test_two_sets_of_services_do_not_see_each_other(services: Services, tmp_path: Path) -> None:
    async with Services.running(tmp_path) as others:
        async with httpx.AsyncClient(headers={"Authorization": "Bearer sk_test_x"}) as client:
            intent = others.orders.find("1043").payment_intent
            await client.post(f"{others.proxy.url}/v1/refunds", data={"payment_intent": intent})
        assert (await others.counts("1043")).refunds == 1
        assert (await services.counts("1043")).refunds == 0


async def test_stopped_services_leave_no_program_behind(tmp_path: Path) -> None:
    async with Services.running(tmp_path) as services:
        programs = [services.payments.child, services.crm.child]
        ports = [int(url.rpartition(":")[2]) for url in (services.payments.url, services.crm.url, services.proxy.url)]
        assert all(listens(port) for port in ports)
    assert not any(program.is_running for program in programs)
    assert not any(listens(port) for port in ports)


async def test_killed_owner_leaves_no_program_behind(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
    )
    assert owner.stdout is not None
    ports = [int(port) for port in (await owner.stdout.readline()).split()]
    assert len(ports) == 4
    assert all(listens(port) for port in ports)
    os.kill(owner.pid, signal.SIGKILL)
    await owner.wait()
    assert await becomes_true(lambda: not any(listens(port) for port in ports))


async def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(CallerError, match="not empty"):
        async with Services.running(tmp_path):
            pass
    assert (tmp_path / "precious").exists()
    assert not (tmp_path / "payments.log").exists()


async def test_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    child = Child("the shop", [sys.executable, "-c", "exit('no licence')"], tmp_path / "shop.log")

    async def never() -> bool:
        return False

    with pytest.raises(NotStarted, match=r"the shop ended with code 1: no licence \(its log: .*shop.log"):
        await child.ready(never)
    await child.stop()


async def test_program_that_stays_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    child = Child("the shop", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "shop.log")

    async def never() -> bool:
        return False

    with pytest.raises(NotStarted, match="the shop does not answer: it said nothing"):
        await child.ready(never, within_s=0.05)
    await child.stop()
    assert not child.is_running
