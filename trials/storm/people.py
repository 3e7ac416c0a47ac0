"""The people: they answer what tasks ask, as the truth says, some of them wrongly; and they look into the bank's book.

``python -m trials.storm.people --address HOST:PORT --truth FILE --bank URL --tools FILE --ledger FILE --config FILE
--port N --journal FILE``. The webhook of the workers' notices is `http://127.0.0.1:N/notices`.
"""

import argparse
import asyncio
import json
import re
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
from aiohttp import web
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.service import RPCError

from trials.storm.journal import Journal
from trials.storm.processes import ROOT
from trials.storm.truth import OTHERS, OWNERS, EffectTruth, Says, TaskTruth, Truth, undo_memo

WAITING = "ExecutionStatus = 'Running' AND LastmileStatus IN ('AWAITING_APPROVAL', 'AWAITING_PERSON')"
LOOKS_AFTER_S = 9.0
"""How long somebody waits before they look into the book: longer than any process stands still (6 s), and than anything
is on its way; whoever looks at once would say "it did not happen" of what is about to."""

_AGAIN_S = 4.0
_LOOK_S = (0.7, 3.0)
"""Between two looks at a task, at least and at most."""

_RETRIES = 8
_SETTLE = re.compile(r"settle ([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Books:
    """Where people can see what really happened: the bank's book, and the tools' own database."""

    bank: str
    tools: Path

    async def holds(self, memo: str) -> bool:
        """Whether something was applied under a memo."""
        if await asyncio.to_thread(self._in_tools, memo):
            return True
        async with httpx.AsyncClient(base_url=self.bank, timeout=10) as client:
            answer = await client.get("/admin/applications", params={"memo": memo})
            answer.raise_for_status()
            return bool(answer.json())

    def _in_tools(self, memo: str) -> bool:
        with closing(sqlite3.connect(f"file:{self.tools}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute("select 1 from transfers where memo = ?", (memo,)).fetchone() is not None


@dataclass(slots=True)
class People:
    """Everybody at once. `seed` decides who answers, how, and who gets it wrong."""

    seed: int
    client: Client
    truth: Mapping[str, TaskTruth]
    books: Books
    ledger: Path
    config: Path
    journal: Journal
    _next: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _seen: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _retried: dict[str, int] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Answer until cancelled."""
        crowd = asyncio.Semaphore(16)
        while True:
            try:
                waiting = [found.id async for found in self.client.list_workflows(WAITING)]
            except RPCError:
                waiting = []
            for task_id in waiting:
                if task_id in self.truth and task_id not in self._busy:
                    self._busy.add(task_id)
                    self._spawn(self._visit(task_id, crowd))
            await asyncio.sleep(0.3)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _visit(self, task_id: str, crowd: asyncio.Semaphore) -> None:
        try:
            async with crowd:
                handle = self.client.get_workflow_handle(task_id)
                async with asyncio.timeout(8):
                    requests: list[dict[str, Any]] = await handle.query("requests")
            for request in requests:
                await self._consider(handle, self.truth[task_id], request)
            await asyncio.sleep(self._pause(task_id, requests))
        except (RPCError, WorkflowQueryFailedError, TimeoutError, httpx.HTTPError, sqlite3.Error):
            await asyncio.sleep(0.5)  # the server or all workers are away; the next look finds it again
        finally:
            self._busy.discard(task_id)

    def _pause(self, task_id: str, requests: Sequence[Mapping[str, Any]]) -> float:
        """Seconds until there is something to do again: a look is a query, which costs a worker as much as a signal."""
        due = [self._due((task_id, one["id"], one["digest"]), one["kind"]) for one in requests]
        return min(max(min(due, default=0.0) - time.time(), _LOOK_S[0]), _LOOK_S[1])

    def _due(self, request: tuple[str, str, str], kind: str) -> float:
        looked = self._seen[request] + LOOKS_AFTER_S if kind == "outcome" else 0.0
        return max(looked, self._next.get(request, 0.0))

    async def _consider(self, handle: WorkflowHandle[Any, Any], task: TaskTruth, request: dict[str, Any]) -> None:
        me = task.task_id, request["id"], request["digest"]
        now = time.time()
        if me not in self._seen:
            self._seen[me] = now
            self.journal.write("people", "seen", task=task.task_id, request=request)
        if now < self._due(me, request["kind"]):
            return
        match request["kind"]:
            case "approval":
                await self._approval(handle, task, request)
            case "outcome":
                await self._outcome(handle, request)
            case "stuck":
                await self._stuck(handle, task, request)
            case "question":
                await self._say(handle, request, {"by": OWNERS[0], "text": "go on"})

    # -------------------------------------------------------------------------------------------------- approvals

    async def _approval(self, handle: WorkflowHandle[Any, Any], task: TaskTruth, request: dict[str, Any]) -> None:
        random = self._random(request, task.task_id)
        effect = effect_of(task, request["args"])
        if effect is None or not effect.needs or not _is_right(effect, request["args"]):
            self.journal.write("people", "odd", task=task.task_id, request=request["id"], args=request["args"])
            by = random.choice(request["may_answer"] or OWNERS)
            await self._say(handle, request, {"by": by, "choice": "reject", "comment": "not as asked"})
            return
        by = random.choice(effect.needs)
        match effect.says:
            case Says.IGNORE:
                self._next[(task.task_id, request["id"], request["digest"])] = time.time() + 5
            case Says.REJECT:
                await self._say(handle, request, {"by": by, "choice": "reject"}, effect)
            case Says.REPLAN:
                await self._say(handle, request, {"by": by, "choice": "reject", "replan": "do without it"}, effect)
            case Says.EDIT if request["args"].get("amount_cents") != effect.amount_cents:
                answer = {"by": by, "choice": "edit", "args": {"amount_cents": effect.amount_cents}}
                await self._say(handle, request, answer, effect)
            case _:
                if effect.says is Says.WRONG_FIRST:
                    wrong = random.choice([*OTHERS, task.requested_by])
                    await self._say(handle, request, {"by": wrong, "choice": "approve"}, effect)
                elif random.random() < 0.1:
                    await self._say(handle, request, {"by": by, "choice": "approve", "digest": "0" * 16}, effect)
                await self._say(handle, request, {"by": by, "choice": "approve"}, effect)

    # ---------------------------------------------------------------------------------------------------- the rest

    async def _outcome(self, handle: WorkflowHandle[Any, Any], request: dict[str, Any]) -> None:
        memo = memo_of(request["args"], request["tool"])
        if not memo:  # nobody can look up what is not shown: the task stays, and is counted as stuck
            self.journal.write("people", "odd", task=handle.id, request=request["id"], args=request["args"])
            return
        choice = "happened" if await self.books.holds(memo) else "did_not_happen"
        by = self._random(request, handle.id).choice(OWNERS)
        answer = {"by": by, "choice": choice, "evidence": "the bank's book"}
        await self._say(handle, request, answer)

    async def _stuck(self, handle: WorkflowHandle[Any, Any], task: TaskTruth, request: dict[str, Any]) -> None:
        count = self._retried[task.task_id] = self._retried.get(task.task_id, 0) + 1
        choice = "retry" if count <= _RETRIES else "end"
        by = self._random(request, task.task_id).choice(OWNERS)
        await self._say(handle, request, {"by": by, "choice": choice})

    async def _say(
        self,
        handle: WorkflowHandle[Any, Any],
        request: dict[str, Any],
        answer: dict[str, Any],
        effect: EffectTruth | None = None,
    ) -> None:
        """Send an answer by update or by signal; it is written down before it is sent, and what came of it after."""
        payload = {"request_id": request["id"], "digest": request["digest"], **answer}
        random = self._random(request, f"{handle.id}:{answer['by']}:{time.time()}")
        choice = answer.get("choice")
        signal = choice if choice in ("approve", "reject") else "answer"
        way = "signal" if random.random() < 0.4 and choice != "edit" else "update"
        if way == "update" and request["kind"] == "question":
            way = "signal"
        self._next[(handle.id, request["id"], request["digest"])] = time.time() + _AGAIN_S
        shown = {"kind": request["kind"], "step": request["step"], "tool": request["tool"], "args": request["args"]}
        memo = effect.memo if effect else memo_of(request["args"], request["tool"])
        self.journal.write("people", "says", task=handle.id, memo=memo, way=way, payload=payload, shown=shown)
        try:
            async with asyncio.timeout(8):
                if way == "update":
                    await handle.execute_update("decide", payload)
                else:
                    await handle.signal(signal, payload)
            came = "taken"
        except WorkflowUpdateFailedError as error:
            came = f"refused: {error.cause}"
        except (RPCError, TimeoutError) as error:
            came = f"unknown: {type(error).__name__}"
        self.journal.write("people", "said", task=handle.id, request=request["id"], by=answer["by"], came=came[:300])

    def _random(self, request: dict[str, Any], more: str) -> Random:
        return Random(f"{self.seed}:{more}:{request['id']}:{request['digest']}")  # noqa: S311 - repeatable on purpose

    # ----------------------------------------------------------------------------------------------------- notices

    async def notice(self, request: web.Request) -> web.Response:
        """Take a notice; one about a task that does not run any more is settled by hand."""
        body = await request.json()
        about = body["blocks"][-1]["elements"][0]["text"]
        _, task_id, to = (*about.split(" · "), "", "")[:3]
        self.journal.write("notice", "came", task=task_id, to=to.removeprefix("for "), text=body["text"])
        for key in set(_SETTLE.findall(body["text"])):
            self._spawn(self._settle(key))
        return web.json_response({})

    async def _settle(self, key: str) -> None:
        """Look into the book and say by hand what happened, as the notice tells people to."""
        await asyncio.sleep(LOOKS_AFTER_S)
        for _ in range(10):
            try:
                memo = await asyncio.to_thread(memo_of_key, self.ledger, key)
                choice = "happened" if await self.books.holds(memo) else "did_not_happen"
            except (httpx.HTTPError, sqlite3.Error):
                await asyncio.sleep(1)
                continue
            code, said = await self._starter("settle", key, choice, "--by", OWNERS[0], "--evidence", "the bank's book")
            self.journal.write("people", "settled", key=key, memo=memo, choice=choice, code=code, said=said[-300:])
            if code == 0:
                return
            await asyncio.sleep(3)

    async def _starter(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "starter.py"),
            *arguments,
            "--config",
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace")


def effect_of(task: TaskTruth, args: Mapping[str, Any]) -> EffectTruth | None:
    """Find what the truth says of the call that is shown."""
    return next((effect for effect in task.effects if effect.memo == args.get("memo")), None)


def memo_of(args: Mapping[str, Any], tool: str) -> str:
    """Return the business id of a call; an undo has one of its own."""
    inner = args.get("args") if tool.endswith(".undo") else None
    return undo_memo(str(inner.get("memo", ""))) if isinstance(inner, dict) else str(args.get("memo", ""))


def memo_of_key(ledger: Path, key: str) -> str:
    """Look up in the ledger's file which business id a key belongs to."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=10)) as db:
        tool, args = db.execute("select tool, args from lastmile_effects where key = ?", (key,)).fetchone()
    return memo_of(json.loads(args), tool)


def _is_right(effect: EffectTruth, args: Mapping[str, Any]) -> bool:
    """Whether what is shown is what ought to happen (or what somebody is to edit)."""
    fits = args.get("amount_cents") in (effect.planned_cents, effect.amount_cents)
    return fits and args.get("account") == effect.account


async def serve(given: argparse.Namespace) -> None:
    """Answer requests and take notices until the process is ended."""
    client = await _connected(given.address)
    truth = Truth.read(given.truth)
    journal = Journal(given.journal)
    people = People(
        seed=truth.seed,
        client=client,
        truth={task.task_id: task for task in truth.tasks},
        books=Books(given.bank, given.tools),
        ledger=given.ledger,
        config=given.config,
        journal=journal,
    )
    app = web.Application()
    app.router.add_post("/notices", people.notice)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", given.port).start()
    sys.stderr.write("people.started\n")
    sys.stderr.flush()
    await people.run()


async def _connected(address: str) -> Client:
    async with asyncio.timeout(60):
        while True:
            try:
                return await Client.connect(address)
            except RuntimeError:
                await asyncio.sleep(0.5)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the people until they are ended."""
    parser = argparse.ArgumentParser(prog="trials.storm.people", description="Answer what the tasks of a storm ask.")
    for name in ("address", "bank"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("truth", "tools", "ledger", "config", "journal"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--port", required=True, type=int)
    asyncio.run(serve(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
