"""The trial of tau2's desks: plans of gold actions, the post that loses answers, and the judge of the servers' logs."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trials.world.tau2.desk import Desk, Gold
from trials.world.tau2.judging import Judged, _compare, _writes
from trials.world.tau2.naive import Caller
from trials.world.tau2.plans import Act, script
from trials.world.tau2.post import Post, posted

SERVER = """
import json, sys
calls = 0
for line in sys.stdin:
    request = json.loads(line)
    calls += 1
    body = {"ok": True, "calls": calls, "tool": request["params"]["name"]}
    answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"isError": False, "structuredContent": body}}
    print(json.dumps(answer), flush=True)
"""


def find(*, user: str = "ada_1") -> Act:
    return Act("find", {"zip": "19122"}, is_read=True, is_refused=False, result=user)


def cancel(*, order: str = "#W100", user: str = "ada_1", is_refused: bool = False) -> Act:
    args: dict[str, Any] = {"order_id": order, "user_id": user, "qty": 2}
    return Act("cancel", args, is_read=False, is_refused=is_refused, result={"order_id": order})


LOOK = Act("look", {"user_id": "ada_1"}, is_read=True, is_refused=False, result={"orders": ["#W100", "#W200"]})


def plans_of(*acts: Act) -> list[Any]:
    return [reply["plan"] for reply in script(acts).replies]


def test_a_value_comes_from_the_first_result_that_has_it() -> None:
    [plan] = plans_of(find(), LOOK, cancel(order="#W200"))
    assert plan["steps"][2]["args"] == {
        "order_id": {"$from": "s2", "path": "/parsed_content/orders/1"},
        "user_id": {"$from": "s1", "path": "/parsed_content"},
        "qty": 2,
    }


def test_values_that_no_result_has_stay_as_they_are() -> None:
    made = script([find(), cancel(order="#W999")])
    assert (made.taken, made.values) == (1, 3)


def test_a_plan_ends_with_a_refusal_and_the_next_one_refers_to_its_steps() -> None:
    first, second = plans_of(find(), cancel(is_refused=True), LOOK)
    assert [step["tool"] for step in first["steps"]] == ["find", "cancel"]
    assert second["steps"][0]["args"] == {"user_id": {"$from": "r1.s1", "path": "/parsed_content"}}


def test_after_a_refusal_at_the_end_there_is_only_an_answer_to_give() -> None:
    assert plans_of(cancel(is_refused=True))[1] == {"steps": [], "finish": {"answer": "done"}}


def test_results_of_writes_are_not_referred_to() -> None:
    [plan] = plans_of(cancel(order="#W300"), cancel(order="#W300"))
    assert plan["steps"][1]["args"]["order_id"] == "#W300"


def test_a_write_that_gold_wants_twice_says_that_it_repeats_the_last_one() -> None:
    first, second = plans_of(cancel(), cancel(), cancel(order="#W9", is_refused=True), cancel())
    assert [step.get("repeat_of") for step in first["steps"]] == [None, "s1", None]
    assert [step.get("repeat_of") for step in second["steps"]] == ["r1.s2"]


@pytest.fixture
async def post(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Post]:
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    post = Post(request.param, random.Random(7))
    async with posted([sys.executable, str(server)], {}, tmp_path / "server.log", post):
        yield post


@pytest.mark.parametrize("post", [0.0], indirect=True)
async def test_the_post_passes_answers_on_under_the_askers_own_numbers(post: Post) -> None:
    host, _, port = post.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for number in (7, 7, 9):
        call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "buy", "arguments": {}}}
        writer.write(json.dumps(call).encode() + b"\n")
    assert [json.loads(await reader.readline())["id"] for _ in range(3)] == [7, 7, 9]
    writer.close()
    assert (post.calls, post.lost) == (["buy"] * 3, [])


@pytest.mark.parametrize("post", [1.0], indirect=True)
async def test_a_lost_call_was_carried_out_all_the_same(post: Post) -> None:
    gold = Gold("1", (cancel(),), "")
    caller = Caller(post.address)
    playing = asyncio.create_task(caller.play([gold]))
    async with asyncio.timeout(20):
        while not post.lost:
            await asyncio.sleep(0.01)
        post.lost_share = 0.0
        await playing
    assert post.calls == ["cancel"] * len(post.calls)
    assert len(post.calls) >= 2
    assert (await post.call("look", {}))["calls"] == len(post.calls) + 1


def logged(tool: str, args: dict[str, Any], *, error: bool = False) -> dict[str, Any]:
    return {"tau2_tool_call": {"name": tool, "arguments": args}, "tau2_tool_message": {"error": error}}


def judged(*log: dict[str, Any]) -> Judged:
    desk, found = Desk("retail", frozenset({"look"}), Path()), Judged()
    _compare(Gold("1", (LOOK, cancel()), ""), _writes(desk, log), found)
    return found


CANCEL = ("cancel", cancel().args)


def test_a_write_that_stands_once_in_the_log_is_right() -> None:
    found = judged(logged("look", {}), logged("look", {}), logged(*CANCEL), logged(*CANCEL, error=True))
    assert (found.twice, found.missing, found.strange, found.writes) == ([], [], [], 1)


def test_a_write_that_was_done_twice_is_noticed() -> None:
    assert len(judged(logged(*CANCEL), logged(*CANCEL)).twice) == 1


def test_a_write_that_is_missing_and_one_that_nobody_asked_for_are_noticed() -> None:
    found = judged(logged("cancel", {"order_id": "#W1"}))
    assert (len(found.twice), len(found.missing), len(found.strange)) == (0, 1, 1)
