"""A model that reads: it looks up in the briefing which token the tracker gave, and writes it into the next plan.

Nothing else can do that: the token is the last part of a link, and a plan refers to whole values.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiohttp import web

from core.record import Json
from trials.counter import MODEL_PATH

CHATTING = "3"
"""Id of a status in Roundup's classic template."""


def plan_for(briefing: str) -> Json:
    """Write the next plan: first a token, then the ticket; after a ticket that was refused, a question."""
    facts = list(_facts(briefing))
    refused = [str(fact.get("note", "")) for fact in facts if fact["outcome"] == "failed"]
    if refused:
        return {"steps": [], "finish": None, "ask": f"the tracker refused: {refused[0]}", "confidence": 1}
    links = [fact["result"]["data"]["link"] for fact in facts if fact["tool"] == "getToken"]
    steps = _filing(links[-1].rpartition("/")[2]) if links else [_step("t1", "getToken", {"lifetime": 1800})]
    answer = {"answer": "Filed as issue {{s2/data/collection/0/id}}."} if links else None
    return {"steps": steps, "finish": answer, "ask": None, "confidence": 1}


def _filing(token: str) -> list[Json]:
    title = {"$from": "inputs", "path": "/title"}
    issue = {"$from": "s2", "path": "/data/collection/0/id"}
    version = {"$from": "s3", "path": "/data/@etag"}
    return [
        _step("s1", "createIssue", {"token": token, "title": title, "priority": "bug"}),
        _step("s2", "listIssues", {"title": title}, "s1"),
        _step("s3", "getIssue", {"issue_id": issue}),
        _step("s4", "setIssue", {"issue_id": issue, "If-Match": version, "status": CHATTING}),
    ]


def _step(step: str, tool: str, args: dict[str, Json], *after: str) -> Json:
    told = {"id": step, "tool": tool, "args": json.dumps(args), "why": "to file the ticket"}
    return {**told, "after": list(after), "repeat_of": None}


def _facts(briefing: str) -> Iterator[dict[str, Json]]:
    """Read what has happened: JSON, one fact on a line."""
    for line in briefing.splitlines():
        if line.startswith("{"):
            fact = json.loads(line)
            if "tool" in fact and "outcome" in fact:
                yield fact


async def answer(request: web.Request) -> web.Response:
    """Answer as OpenAI's chat API does."""
    body = await request.json()
    message = {"role": "assistant", "content": json.dumps(plan_for(body["messages"][-1]["content"]))}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    answered = {"id": "chat-1", "object": "chat.completion", "created": 0, "model": "reader", "choices": [choice]}
    return web.json_response(answered)


@asynccontextmanager
async def reading() -> AsyncIterator[str]:
    """Serve the model on a free port of 127.0.0.1; yield its address."""
    app = web.Application()
    app.router.add_post(MODEL_PATH, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
