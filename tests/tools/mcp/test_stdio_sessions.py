"""Sessions with a real server process: shared, killed, hung, flooding, started again."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from core.errors import NotSent, Refused
from core.ports import Certainty, Tool
from tests.tools.mcp.desk import KEYED, PAY, PROBED, Desk, call
from tools.mcp.faults import ConnectionEnded, UnreadableAnswer


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    await desk.accept()
    return desk


async def wait_for(fact: Any, limit: float = 10.0) -> None:
    async with asyncio.timeout(limit):
        while not fact():
            await asyncio.sleep(0.01)


async def sorted_error(tool: Tool, **more: Any) -> Any:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is what is asked for
        await tool.send(call(**more), PAY)
    return tool.sort(caught.value)


async def test_agent_loads_without_starting_its_server(desk: Desk) -> None:
    before = len(desk.starts())
    agents = desk.load()
    assert sorted(agents.get("desk").tools) == ["find_payment", "pay", "say"]
    assert len(desk.starts()) == before


async def test_typed_result_comes_back(desk: Desk) -> None:
    async with desk.tools() as tools:
        assert await tools["pay"].send(call(), PAY) == {"id": "p1", "order": "o1", "amount": 5}
        assert await tools["find_payment"].send(call(), {"order": "none"}) == {"payments": []}


async def test_text_comes_back_as_text(desk: Desk) -> None:
    async with desk.tools() as tools:
        assert await tools["say"].send(call(), {}) == "hello"


async def test_key_is_filled_in(desk: Desk) -> None:
    async with desk.tools() as tools:
        await tools["pay"].send(call("key-7"), PAY)
        await tools["pay"].send(call("key-7"), PAY)
    assert [one["reference"] for one in desk.paid()] == ["key-7"]


async def test_many_calls_share_one_process(desk: Desk) -> None:
    before = len(desk.starts())
    async with desk.tools() as tools:
        calls = [tools["pay"].send(call(f"k{number}"), PAY | {"order": f"o{number}"}) for number in range(30)]
        results = await asyncio.gather(*calls)
    assert [one["order"] for one in results] == [f"o{number}" for number in range(30)]
    assert len(desk.starts()) == before + 1


async def test_two_agents_share_the_session_of_one_server(tmp_path: Path) -> None:
    first, second = Desk(tmp_path), Desk(tmp_path, name="desk2")
    await first.accept()
    await second.accept()
    before = len(first.starts())
    agents = first.load()
    for name in ("desk", "desk2"):
        await agents.get(name).tools["pay"].send(call(name), PAY)
    await agents.aclose()
    assert len(first.starts()) == before + 1


async def test_process_is_gone_when_the_worker_closes_it(desk: Desk) -> None:
    async with desk.tools() as tools:
        await tools["pay"].send(call(), PAY)
        pid = desk.starts()[-1]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_server_that_dies_in_mid_call_leaves_a_doubt_with_its_last_words(desk: Desk) -> None:
    desk.fates("die_after")
    async with desk.tools() as tools:
        found = await sorted_error(tools["pay"])
    assert (found.certainty, found.code) == (Certainty.UNKNOWN, "connection_lost")
    assert "out of memory" in found.message
    assert len(desk.paid()) == 1


async def test_killed_server_leaves_a_doubt_and_is_started_again(desk: Desk) -> None:
    desk.fates("hang")
    async with desk.tools() as tools:
        sending = asyncio.create_task(tools["pay"].send(call(), PAY))
        await wait_for(desk.paid)
        os.kill(desk.starts()[-1], signal.SIGKILL)
        with pytest.raises(ConnectionEnded):
            await sending
        assert (await sorted_error(tools["pay"])).certainty is Certainty.NOT_SENT  # the pause before the next start
        await wait_for_answer(tools["pay"])
    assert len(desk.paid()) == 1  # the same key


async def wait_for_answer(tool: Tool) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await tool.send(call(), PAY)
            except NotSent as error:
                await asyncio.sleep(error.retry_after or 0.05)
            else:
                return


async def test_server_killed_between_calls_is_noticed_before_the_next(desk: Desk) -> None:
    async with desk.tools() as tools:
        await tools["pay"].send(call(), PAY)
        os.kill(desk.starts()[-1], signal.SIGKILL)
        found = await sorted_error(tools["pay"], key="k2")
        assert found.certainty in (Certainty.NOT_SENT, Certainty.UNKNOWN)
        await wait_for_answer(tools["pay"])


async def test_pause_between_starts_grows(desk: Desk) -> None:
    before = len(desk.starts())
    (desk.shop / "dies_at_start").touch()
    pauses = []
    async with desk.tools() as tools:
        for _ in range(3):
            with pytest.raises(NotSent) as caught:
                await tools["pay"].send(call(), PAY)
            assert "no licence found" in str(caught.value)
            assert caught.value.retry_after is not None
            pauses.append(caught.value.retry_after)
            await asyncio.sleep(caught.value.retry_after)
        assert 0.3 < pauses[0] < pauses[1] < pauses[2] <= 30
        (desk.shop / "dies_at_start").unlink()
        await wait_for_answer(tools["pay"])
    assert len(desk.starts()) == before + 1


async def test_flood_on_standard_error_holds_nothing_up(desk: Desk) -> None:
    (desk.shop / "flood").touch()
    async with desk.tools() as tools:
        assert (await tools["pay"].send(call(), PAY))["id"] == "p1"


async def test_late_answer_is_dropped_without_harm(desk: Desk) -> None:
    desk.fates("hang")
    async with desk.tools() as tools:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await tools["pay"].send(call(), PAY)
        old = '{"jsonrpc": "2.0", "id": 2, "result": {"content": [], "structuredContent": {"id": "late"}}}'
        desk.fates({"also": old})
        result: Any = await tools["pay"].send(call("k2"), PAY | {"order": "o2"})
    assert result["order"] == "o2"


async def test_nothing_more_is_sent_to_a_server_that_does_not_read(desk: Desk) -> None:
    desk.fates("stop_reading")
    async with desk.tools() as tools:
        stuck = [asyncio.create_task(tools["pay"].send(call("k0"), PAY))]
        await wait_for(desk.paid)
        big = PAY | {"order": "x" * 3_000_000}
        stuck += [asyncio.create_task(tools["pay"].send(call(f"b{number}"), big)) for number in range(3)]
        done, _ = await asyncio.wait(stuck, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        [refused] = done
        assert isinstance(refused.exception(), NotSent)
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)


async def test_is_error_is_a_definite_no(desk: Desk) -> None:
    desk.fates("refuse")
    async with desk.tools() as tools:
        found = await sorted_error(tools["pay"])
    assert (found.certainty, found.code, found.message) == (Certainty.REFUSED, "tool_error", "the card was declined")


async def test_protocol_error_of_a_server_proves_nothing(desk: Desk) -> None:
    desk.fates({"error": {"code": -32603, "message": "boom"}})
    async with desk.tools() as tools:
        with pytest.raises(UnreadableAnswer, match="-32603: boom"):
            await tools["pay"].send(call(), PAY)


async def test_invalid_params_is_a_definite_no(desk: Desk) -> None:
    desk.fates({"error": {"code": -32602, "message": "amount is too small"}})
    async with desk.tools() as tools:
        with pytest.raises(Refused, match="amount is too small"):
            await tools["pay"].send(call(), PAY)


async def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.reached_by = 'command = ["no-such-server"]'
    desk.write("")
    with pytest.raises(NotSent, match="there is no program 'no-such-server'"):
        await desk.ask()


async def test_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'env = {TOKEN = "${SHOP_TOKEN}"}')
    with pytest.raises(NotSent, match="needs the environment variable SHOP_TOKEN"):
        await desk.ask({"PATH": os.environ["PATH"]})


async def test_server_gets_no_secret_of_the_worker(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'env = {TOKEN = "${SHOP_TOKEN}"}')
    await desk.ask({"PATH": os.environ["PATH"], "SHOP_TOKEN": "s3cret", "OPENAI_API_KEY": "sk-1"})
    seen = json.loads((desk.shop / "environ.json").read_text())
    assert seen["TOKEN"] == "s3cret"
    assert not {"OPENAI_API_KEY", "SHOP_TOKEN"} & set(seen)


async def test_probe_finds_what_was_paid_under_this_key_only(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PROBED)
    await desk.accept()
    async with desk.tools() as tools:
        pay = tools["pay"]
        assert await pay.probe(call("k1", desk="d"), PAY) is None
        await pay.send(call("k1", desk="d"), PAY)
        found: Any = await pay.probe(call("k1", desk="d"), PAY)
        assert found["order"] == "o1"
        assert await pay.probe(call("k2", desk="d"), PAY) is None
    assert [one["desk"] for one in desk.paid()] == ["d"]


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(desk: Desk) -> None:
    async with desk.tools() as tools:
        for wrong in ({}, PAY | {"amount": "5"}, PAY | {"reference": "mine"}, PAY | {"colour": "red"}):
            with pytest.raises(Refused) as caught:
                tools["pay"].check(wrong)
            assert caught.value.code == "bad_arguments"
        assert tools["pay"].check({"order": "o", "amount": 5.0}) == {"order": "o", "amount": 5}


def test_keyed_contract_without_key_is_a_fault_with_its_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path, KEYED.replace('key = "reference"\n', ""))
    asyncio.run(desk.accept())
    assert desk.problem.startswith("agent.toml:10: mcp[1].contracts.pay.effect: ")
