"""The parts of the trial with Roundup that need no Roundup: proxy, model, agent, judge."""

import json
import os
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from core.checking import check_plan
from core.plan import Plan
from core.profile import Limits
from core.record import Json
from llm.wire import Fault, decode
from tools.openapi.loading import load_source
from tools.openapi.tables import Source
from trials.results import Figure
from trials.world.roundup.losing import Committed, LosingProxy, losing
from trials.world.roundup.reader import plan_for
from trials.world.roundup.senders import sender_of
from trials.world.roundup.tickets import AGENT, Faults, Filed, judge
from trials.world.roundup.tracker import Issue

TOKEN = {
    "step": "r1.t1",
    "tool": "getToken",
    "outcome": "succeeded",
    "result": {"data": {"link": "http://tracker/t/rest/data/issue/@poe/abc-1", "expires": 1.5}},
}
REFUSED = {"step": "r2.s1", "tool": "createIssue", "outcome": "failed", "note": "HTTP 400: not valid"}


def briefing(*facts: dict[str, Json]) -> str:
    return "\n".join(["# Done (these have happened)", "<data>", *map(json.dumps, facts), "</data>", "Answer."])


@asynccontextmanager
async def counting_server(seen: list[str]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.raw_path}")
        return web.json_response({"done": True}, status=201)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_lost_answer_is_lost_after_the_request_was_carried_out() -> None:
    seen: list[str] = []
    async with counting_server(seen) as upstream, losing(upstream, 1.0, seed=1) as proxy, httpx.AsyncClient() as http:
        with pytest.raises(httpx.TransportError):
            await http.post(f"{proxy.url}/issue/@poe", json={})
    assert seen == ["POST /issue/@poe"]
    assert (proxy.answers, proxy.lost, proxy.writes, proxy.lost_writes) == (1, 1, 1, 1)


async def test_an_answer_that_is_not_lost_is_passed_on_as_it_is() -> None:
    seen: list[str] = []
    async with counting_server(seen) as upstream, losing(upstream, 0.0, seed=1) as proxy, httpx.AsyncClient() as http:
        answer = await http.get(f"{proxy.url}/issue?title=a%20b&%40fields=title")
    assert (answer.status_code, answer.json()) == (201, {"done": True})
    assert seen == ["GET /issue?title=a%20b&%40fields=title"]
    assert (proxy.lost, proxy.writes) == (0, 0)


async def test_the_process_that_sent_a_write_is_found_before_the_answer_goes_back() -> None:
    found: list[int | None] = []

    async def watch(write: Committed) -> None:
        found.append(sender_of(write.port, [os.getppid(), os.getpid()]))

    async with counting_server([]) as upstream, losing(upstream, 0.0, seed=1) as proxy, httpx.AsyncClient() as http:
        proxy.watcher = watch
        await http.put(f"{proxy.url}/issue/1", json={})
    assert found == [os.getpid()]


@pytest.mark.parametrize("facts", [(), (TOKEN,), (TOKEN, REFUSED)])
def test_every_plan_of_the_reading_model_fits_the_agents_tools(facts: tuple[dict[str, Json], ...]) -> None:
    table = tomllib.loads((AGENT / "agent.toml").read_text())["openapi"][0]
    environ = {"ROUNDUP_USER": "u", "ROUNDUP_PASSWORD": "p"}
    source = load_source(Source.model_validate(table), AGENT, environ)
    catalogue = {name: tool.contract for name, tool in source.tools.items()}
    document = decode(json.dumps(plan_for(briefing(*facts))))
    assert not isinstance(document, Fault)
    assert isinstance(check_plan(document, catalogue, {}, Limits()), Plan)


def test_the_reading_model_takes_the_token_out_of_the_link() -> None:
    first, second = plan_for(briefing()), plan_for(briefing(TOKEN))
    assert [step["tool"] for step in first["steps"]] == ["getToken"]
    assert first["finish"] is None
    assert json.loads(second["steps"][0]["args"])["token"] == "abc-1"
    assert second["finish"] is not None


def test_after_a_refused_ticket_the_reading_model_asks() -> None:
    assert "HTTP 400" in plan_for(briefing(TOKEN, REFUSED))["ask"]


def figures_of(*issues: Issue, status: str = "COMPLETED", refused: tuple[str, ...] = ()) -> list[Figure]:
    proxy = LosingProxy("", 0.2, dice=None, answers=9, writes=4, lost=2, lost_writes=1)  # type: ignore[arg-type] # no die is cast
    filed = Filed(["one"], {"one": {"status": status, "reason": ""}})
    return list(judge(issues, filed, refused, Faults(proxy, killed=1)))


ONE = Issue("one", "key", "3", 1)


def test_one_ticket_for_a_completed_task_is_right() -> None:
    assert all(figure.holds for figure in figures_of(ONE))


@pytest.mark.parametrize(
    ("issues", "status", "refused", "name"),
    [
        ((ONE, ONE), "COMPLETED", (), "filed twice"),
        ((), "COMPLETED", (), "without a ticket"),
        ((ONE,), "FAILED", (), "without a completed task"),
        ((Issue("one", "key", "1", 0),), "COMPLETED", (), "not set exactly once"),
        ((Issue("one", "key", "3", 2),), "COMPLETED", (), "not set exactly once"),
        ((ONE,), "COMPLETED", ("ticket-1 createIssue: 400",), "reported as failed"),
        ((ONE,), "AWAITING_PERSON", (), "otherwise than completed"),
    ],
)
def test_each_wrong_end_breaks_its_own_bound(
    issues: tuple[Issue, ...], status: str, refused: tuple[str, ...], name: str
) -> None:
    broken = [one.name for one in figures_of(*issues, status=status, refused=refused) if one.holds is False]
    assert any(name in one for one in broken), broken
