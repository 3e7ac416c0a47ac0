"""A person approves in the Temporal UI, in a real browser: reads the card, sends a signal, sees the task complete."""

import asyncio
import json
import os
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import FrameLocator, Locator, Page, async_playwright, expect
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.worlds import ATTRIBUTES, BIN, FAST, Rules, World, asks, plan, ref, step
from tools import Call, tool

pytestmark = [pytest.mark.ui, pytest.mark.timeout(180)]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
PATIENCE_MS = 30_000
KINDS = {"KEYWORD": "Keyword", "KEYWORD_LIST": "KeywordList", "DATETIME": "Datetime"}


@tool(effect="read")
async def get_order(call: Call, order_id: str) -> dict[str, object]:
    """Look an order up."""
    return {"total_cents": 25000, "email": "kim@example.com"}


@pytest.fixture
def paid() -> list[int]:
    return []


@asynccontextmanager
async def server_with_ui() -> AsyncIterator[tuple[Client, str]]:
    port, ui = free_ports(2)
    attributes = [part for key in ATTRIBUTES for part in ("--search-attribute", f"{key.name}={KINDS[_kind(key)]}")]
    command = [str(BIN / "temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--ui-port", str(ui), "--log-level", "error", "--ui-disable-news-fetch", *FAST, *attributes]
    quiet = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    try:
        yield await connected(f"127.0.0.1:{port}", f"http://127.0.0.1:{ui}"), f"http://127.0.0.1:{ui}"
    finally:
        server.terminate()
        await server.wait()


def _kind(key: object) -> str:
    name: str = key.indexed_value_type.name  # type: ignore[attr-defined] # one of several generic keys
    return name


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


async def connected(address: str, ui: str) -> Client:
    deadline = time.monotonic() + 30
    while True:
        try:
            client = await Client.connect(address, data_converter=pydantic_data_converter)
            await client.count_workflows()
            await asyncio.to_thread(lambda: urllib.request.urlopen(f"{ui}/api/v1/namespaces/default", timeout=5).read())
        except (RuntimeError, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return client


@asynccontextmanager
async def browser_page(url: str) -> AsyncIterator[Page]:
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1300, "height": 1150}, base_url=url)
        page.set_default_timeout(PATIENCE_MS)
        yield page
        await browser.close()


async def open_task(page: Page, task_id: str) -> None:
    await page.goto(f"/namespaces/default/workflows/{task_id}")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(task_id)


async def card_of(page: Page, holding: str) -> Locator:
    """The card is rendered in a frame of its own under *User Metadata*."""
    await page.get_by_role("tab", name="User Metadata").click()
    frame: FrameLocator = page.frame_locator("#user-metadata-current-details")
    card = frame.locator("main")
    await expect(card).to_contain_text(holding)
    return card


async def send_signal(page: Page, name: str, data: object) -> int:
    await page.get_by_role("button", name="More Actions").click()
    await page.get_by_role("menuitem", name="Send a Signal").click()
    dialog = page.get_by_role("dialog", name="Send a Signal")
    await dialog.get_by_role("button", name="Select a signal").click()
    await dialog.get_by_role("option", name=re.compile(rf"^{re.escape(name)}\b")).click()
    await dialog.get_by_role("textbox", name="Data").fill(json.dumps(data))
    async with page.expect_response(lambda one: one.request.method == "POST" and "/signal/" in one.url) as sent:
        await dialog.get_by_role("button", name="Submit").press("Enter")
    return (await sent.value).status


async def test_person_reads_the_card_and_approves_in_the_temporal_ui(tmp_path: Path, paid: list[int]) -> None:
    @tool(effect="keyed", key_window="24h", approve_hint="refund {amount_cents} cents on order {order_id}")
    async def issue_refund(call: Call, order_id: str, amount_cents: int) -> dict[str, object]:
        """Refund an order."""
        paid.append(amount_cents)
        return {"refund": "re_1", "amount_cents": amount_cents}

    reply = plan(
        step("s1", "get_order", order_id="1042"),
        step("s2", "issue_refund", order_id="1042", amount_cents=ref("s1", "/total_cents")),
        answer="Refunded {{s2/amount_cents}} cents.",
    )
    async with server_with_ui() as (client, url):
        world = World(client, tmp_path)
        people = {"finance": ("ana", "dana")}
        rules = {"issue_refund": asks("finance")}
        world.agent("desk", [get_order, issue_refund], [reply], policy=Rules(rules), people=people)
        async with world.worker(cached=10), browser_page(url) as page:
            handle = await world.start("refund-RR-1042", goal="Refund order 1042.", requested_by="kim")
            await open_task(page, "refund-RR-1042")
            card = await card_of(page, "refund 25000 cents on order 1042")
            await expect(card).to_contain_text("tool:get_order")
            await expect(card).to_contain_text("ana")
            await picture(page, "approval.png")
            shown = json.loads(await card.locator("pre code.language-json").first.inner_text())
            assert await send_signal(page, "approve", {**shown, "by": "ana"}) == 200
            result = await asyncio.wait_for(handle.result(), 30)
            await open_task(page, "refund-RR-1042")
            await expect(
                page.get_by_role("main").get_by_role("status").filter(has_text="Completed").first
            ).to_be_visible()
            await card_of(page, "COMPLETED")
            await picture(page, "completed.png")
    assert result["effects"][0]["approved_by"] == ["ana"]
    assert paid == [25000]


async def picture(page: Page, name: str) -> None:
    """Take a picture for the README, where LASTMILE_PICTURES names a folder."""
    if folder := os.environ.get("LASTMILE_PICTURES"):
        await page.screenshot(path=Path(folder) / name)
