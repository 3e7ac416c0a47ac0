"""Sessions with servers at an address: what each failure says about the effect."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import NotSent
from core.ports import Certainty, Tool
from tests.tools.mcp.desk import KEYED, PAY, Desk, call
from tests.tools.mcp.http_shop import http_shop

TOKEN = 'headers = {Authorization = "Bearer ${SHOP_TOKEN}"}\n'


async def sorted_error(tool: Tool) -> Any:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is what is asked for
        await tool.send(call(), PAY)
    return tool.sort(caught.value)


async def test_calls_go_over_http(tmp_path: Path) -> None:
    async with http_shop(tmp_path / "shop") as shop:
        desk = Desk(tmp_path, url=shop.url)
        await desk.accept()
        async with desk.tools() as tools:
            assert await tools["pay"].send(call(), PAY) == {"id": "p1", "order": "o1", "amount": 5}
    assert [one["reference"] for one in desk.paid()] == ["k1"]


@pytest.mark.parametrize(
    ("fate", "certainty", "code"),
    [
        ("http_500", Certainty.UNKNOWN, "http_500"),
        ("http_503", Certainty.UNKNOWN, "http_503"),
        ("http_429", Certainty.NOT_SENT, "not_sent"),
        ("http_422", Certainty.REFUSED, "http_422"),
        ("http_409", Certainty.UNKNOWN, "http_409"),
        ("cut", Certainty.UNKNOWN, "connection_lost"),
        ("events_cut", Certainty.UNKNOWN, "unreadable_answer"),
        ({"instead": "no JSON at all"}, Certainty.UNKNOWN, "unreadable_answer"),
        (
            {"instead": '{"jsonrpc": "2.0", "id": $ID, "result": {"content": 7}}'},
            Certainty.UNKNOWN,
            "unreadable_answer",
        ),
        ({"instead": '"' + "x" * 17_000_000 + '"'}, Certainty.UNKNOWN, "too_large"),
    ],
)
async def test_failure_is_sorted_and_the_session_goes_on(
    tmp_path: Path, fate: Any, certainty: Certainty, code: str
) -> None:
    async with http_shop(tmp_path / "shop") as shop:
        desk = Desk(tmp_path, url=shop.url)
        await desk.accept()
        async with desk.tools() as tools:
            desk.fates(fate)
            found = await sorted_error(tools["pay"])
            assert (found.certainty, found.code) == (certainty, code), found
            assert await tools["pay"].send(call(), PAY)
    assert len(desk.paid()) == 1


async def test_server_that_is_away_was_sent_nothing(tmp_path: Path) -> None:
    async with http_shop(tmp_path / "shop") as shop:
        desk = Desk(tmp_path, url=shop.url)
        await desk.accept()
        async with desk.tools() as tools:
            await tools["pay"].send(call(), PAY)
    async with desk.tools() as tools:
        assert (await sorted_error(tools["pay"])).certainty is Certainty.NOT_SENT
    assert len(desk.paid()) == 1


async def test_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    async with http_shop(tmp_path / "shop") as shop:
        desk = Desk(tmp_path, url=shop.url)
        await desk.accept()
        port = int(shop.url.split(":")[2].split("/")[0])
    async with desk.tools() as tools:
        async with http_shop(desk.shop, port=port):
            await tools["pay"].send(call("k1"), PAY)
        assert (await sorted_error(tools["pay"])).certainty is Certainty.NOT_SENT
        async with http_shop(desk.shop, port=port) as shop:  # which knows nothing of the old session
            with pytest.raises(NotSent):
                await tools["pay"].send(call("k2"), PAY)
            await again(tools["pay"], "k2")
            assert len(shop.sessions) == 1
    assert [one["reference"] for one in desk.paid()] == ["k1", "k2"]


async def again(tool: Tool, key: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await tool.send(call(key), PAY)
            except NotSent as error:
                await asyncio.sleep(error.retry_after or 0.05)
            else:
                return


async def test_secret_comes_from_the_environment(tmp_path: Path) -> None:
    async with http_shop(tmp_path / "shop", token="s3cret") as shop:
        desk = Desk(tmp_path, TOKEN + KEYED, url=shop.url)
        with pytest.raises(NotSent, match="401"):
            await desk.ask({"SHOP_TOKEN": "wrong"})
        with pytest.raises(NotSent, match="SHOP_TOKEN"):
            await desk.ask({})
        [said] = await desk.ask({"SHOP_TOKEN": "s3cret"})
    assert set(said.pins) == {"pay", "find-payment", "say"}
