"""A bench for the door: a provider that counts what it applied, a ledger that fails on demand, a clock that is set.

`Crash` stands for SIGKILL: it is no Exception, so nothing of the door runs after it; the next call is a new worker's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.activity import ActivityCancellationDetails
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import Door
from core import names
from core.errors import CallerError, LedgerDown, NotSent, Refused
from core.messages import CallOrder, ToolReport
from core.ports import Agent, Call, Case, Do, Ledger, Tool, TransactionReceipt, Verdict
from core.profile import Model, Profile
from core.receipts import Row, TaskRow
from core.record import Json
from tools import tool
from tools.registry import build_tools

TASK = "refund-RR-1042"
WRITES = ("transactional", "idempotent", "keyed", "probed", "unrepeatable")
ALLOW = Verdict(do=Do.ALLOW, rule="policy[0] *")


class Crash(BaseException):
    """The worker is killed here."""


class Clock:
    """Aware UTC that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Provider:
    """The other side. `script` says how the next requests go: an error, a coroutine function, or a word.

    ``lost``: it never arrives; ``answer_lost``: it is applied, and nobody hears; ``crash_lost`` and ``crash_applied``:
    the same, and the worker is killed. Without a script all is ok.
    """

    script: list[Any] = field(default_factory=list)
    applied: list[tuple[str, Json]] = field(default_factory=list)
    requests: int = 0
    probes: int = 0
    preflights: int = 0
    result: Json = field(default_factory=lambda: {"id": "re_1"})
    facts: dict[str, Json] = field(default_factory=dict)
    preflight_script: list[Exception] = field(default_factory=list)
    probe_script: list[Exception] = field(default_factory=list)
    verdicts: list[Any] = field(default_factory=list)

    async def take(self, kind: str, key: str, args: Json, apply: Callable[[], None]) -> Json:
        self.requests += 1
        fate: Any = self.script.pop(0) if self.script else "ok"
        if isinstance(fate, Exception):
            raise fate
        if fate not in ("lost", "crash_lost"):
            self._apply(kind, key, args, apply)
        match fate:
            case "lost" | "answer_lost":
                raise ConnectionResetError("connection reset by peer")
            case "crash_lost" | "crash_applied":
                raise Crash
            case "ok":
                return self.result
        answer: Json = await fate()
        return answer

    def _apply(self, kind: str, key: str, args: Json, apply: Callable[[], None]) -> None:
        is_repeat = any(known == (key if kind == "keyed" else known) and said == args for known, said in self.applied)
        if kind in ("keyed", "idempotent") and is_repeat:
            return
        apply()

    def knows(self, key: str) -> bool:
        return any(known == key for known, _ in self.applied)


def build(provider: Provider, **more: Any) -> dict[str, Tool]:
    """Make one tool per effect, all over the same provider; `more` goes to every declaration."""

    def declare(effect: str) -> Any:
        async def function(call: Call, order_id: str, amount: int = 5, note: str = "") -> Any:
            """Refund an order."""
            args = [order_id, amount]
            if effect == "transactional":
                return await provider.take(effect, call.key, args, lambda: call.connection.append((call.key, args)))
            return await provider.take(effect, call.key, args, lambda: provider.applied.append((call.key, args)))

        function.__name__ = f"refund_{effect}"
        options: dict[str, Any] = {"effect": effect, "timeout": "10s", "attempts": 3, "identity": ["order_id"]} | more
        if effect == "keyed":
            options.setdefault("key_window", "24h")
        else:
            options.pop("key_window", None)
        if effect == "transactional":
            options["database"] = "SHOP_DB"
        declared = tool(**options)(function)
        if effect == "probed":
            declared.probe(probe)
        return declared

    async def probe(call: Call, args: Mapping[str, Json]) -> Any:
        provider.probes += 1
        if provider.probe_script:
            raise provider.probe_script.pop(0)
        return provider.result if provider.knows(call.key) else None

    async def preflight(call: Call, order_id: str) -> dict[str, Json]:
        provider.preflights += 1
        if provider.preflight_script:
            raise provider.preflight_script.pop(0)
        return provider.facts

    async def verify(call: Call, args: Mapping[str, Json], result: Json) -> bool:
        verdict = provider.verdicts.pop(0) if provider.verdicts else True
        if isinstance(verdict, BaseException):
            raise verdict
        return bool(verdict)

    declared = [declare(effect) for effect in ("read", *WRITES)]
    for hook in ("checked", "verified"):
        one = declare("keyed" if hook == "checked" else "probed")
        one.name = one.function.__name__ = f"refund_{hook}"
        one._contract = one._contract.model_copy(update={"name": one.name})
        one.preflight(preflight) if hook == "checked" else one.verify(verify)
        declared.append(one)
    return dict(build_tools(declared))


@dataclass
class Runs:
    """What Temporal says of the runs of a task; `away`: it does not answer."""

    open_run: str | None = "run-1"
    away: bool = False

    async def current(self, task_id: str) -> str | None:
        if self.away:
            raise ConnectionResetError("Temporal does not answer")
        return self.open_run


class Rules:
    """A policy that says what a test wants."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = [ALLOW]
        self.cases: list[Case] = []

    def judge(self, case: Case) -> Sequence[Verdict]:
        self.cases.append(case)
        return self.verdicts


class Conditions:
    """Done-conditions that say what a test wants, and remember what they were asked about."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.asked: list[Any] = []

    def unmet(self, *about: Any) -> list[str]:
        self.asked.append(about)
        return self.missing


class Staff:
    """The agents of the worker."""

    def __init__(self, agent: Agent) -> None:
        self.agents = {agent.name: agent}

    def get(self, name: str) -> Agent:
        if name not in self.agents:
            raise CallerError(f"no agent {name!r}; there are: {', '.join(self.agents)}")
        return self.agents[name]

    def names(self) -> Sequence[str]:
        return list(self.agents)


class FragileLedger:
    """Passes everything on to a real ledger; `faults` says what happens to the next calls of a method.

    ``down`` / ``crash``: before it was done; ``down_after`` / ``crash_after``: it was committed, nobody heard.
    """

    def __init__(self, inner: Ledger) -> None:
        self.inner = inner
        self.faults: dict[str, list[Any]] = defaultdict(list)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        target = getattr(self.inner, name)
        if name == "lines":
            return target

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            fault = self.faults[name].pop(0) if self.faults[name] else None
            if callable(fault):
                fault()
                fault = None
            if fault in ("down", "crash"):
                raise LedgerDown("the database does not answer") if fault == "down" else Crash
            done = await target(*args, **kwargs)
            if fault is not None:
                raise LedgerDown("the database does not answer") if fault == "down_after" else Crash
            return done

        return call


@dataclass
class OpenTransaction:
    """Effects wait in `connection` for the commit."""

    existing: TransactionReceipt | None
    connection: list[tuple[str, Json]] = field(default_factory=list)
    kept: Json = None

    async def keep(self, result: Json) -> None:
        self.kept = result


class ShopDatabase:
    """The database of the transactional tool, in memory: effect and receipt appear together or not at all."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.receipts: dict[str, TransactionReceipt] = {}
        self.ruled_out: dict[str, int] = {}
        self.commit_fate: list[str] = []

    @asynccontextmanager
    async def open(self, database: str, key: str, fingerprint: str, send: int) -> Any:
        if send <= self.ruled_out.get(key, 0):
            raise NotSent(f"send {send} comes too late")
        one = OpenTransaction(self.receipts.get(key))
        yield one
        if one.existing is None:
            fate = self.commit_fate.pop(0) if self.commit_fate else "ok"
            if fate != "lost":
                self.receipts[key] = TransactionReceipt(key=key, fingerprint=fingerprint, result=one.kept)
                self.provider.applied += one.connection
            if fate != "ok":
                raise ConnectionResetError("connection lost in the commit")

    async def receipt(self, database: str, key: str) -> TransactionReceipt | None:
        return self.receipts.get(key)

    async def rule_out(self, database: str, key: str, send: int) -> TransactionReceipt | None:
        if key not in self.receipts:
            self.ruled_out[key] = max(send, self.ruled_out.get(key, 0))
        return self.receipts.get(key)


@dataclass
class Bench:
    """One worker at the door. `restart` makes the next call another worker's."""

    ledger: FragileLedger
    clock: Clock
    provider: Provider
    rules: Rules = field(default_factory=Rules)
    conditions: Conditions = field(default_factory=Conditions)
    heartbeats: int = 0
    runs: Runs = field(default_factory=Runs)
    run_id: str = "run-1"

    def __post_init__(self) -> None:
        self.database = ShopDatabase(self.provider)
        self.tools = build(self.provider)
        self.agent = Agent(
            name="support_desk",
            instructions="Be kind.",
            profile=Profile(
                agent="support_desk",
                owner="leads",
                route=(Model(name="scripted:x"),),
                people={"finance": ("ana", "ben"), "leads": ("cleo",)},
            ),
            tools=self.tools,
            policy=self.rules,
            done=self.conditions,
        )
        self.staff = Staff(self.agent)

    def use_tools(self, **options: Any) -> None:
        """Declare the tools anew, with other options."""
        self.tools = build(self.provider, **options)
        self.staff.agents["support_desk"] = replace(self.agent, tools=self.tools)
        self.agent = self.staff.agents["support_desk"]

    async def open_task(self, requested_by: str = "rita") -> None:
        task = TaskRow(
            task_id=TASK,
            namespace="default",
            agent="support_desk",
            goal="refund",
            inputs={"order_id": "1042"},
            requested_by=requested_by,
            first_run_id="run-1",
            run_id="run-1",
            opened_at=self.clock(),
        )
        await self.ledger.open_task(task)

    def order(self, tool: str, *, intent: int = 1, revision: int = 1, **changes: Any) -> CallOrder:
        fields: dict[str, Any] = {
            "agent": "support_desk",
            "task_id": TASK,
            "step": f"r1.s{intent}",
            "intent": intent,
            "revision": revision,
            "key": names.effect_key("default", TASK, intent, revision, tool),
            "digest": self.tools[tool].contract.digest if tool in self.tools else "gone",
            "args": {"order_id": "1042"},
        }
        return CallOrder.model_validate(fields | changes)

    def environment(self, activity_type: str, attempt: int = 1) -> ActivityEnvironment:
        env = ActivityEnvironment()
        env.payload_converter = pydantic_data_converter.payload_converter
        env.info = replace(env.info, activity_type=activity_type, attempt=attempt, workflow_run_id=self.run_id)
        env.on_heartbeat = self._beat
        return env

    def _beat(self, *details: Any) -> None:
        self.heartbeats += 1

    async def attempt(
        self, tool: str, order: CallOrder, number: int = 1, env: ActivityEnvironment | None = None
    ) -> ToolReport:
        """Make one attempt of Temporal's; what the door raises is raised."""
        door = Door(self.staff, self.ledger, self.database, self.runs, clock=self.clock, sleep=self.clock.sleep)
        env = env or self.environment(tool, number)
        [payload] = pydantic_data_converter.payload_converter.to_payloads([order])
        return await env.run(door.call_tool, [RawValue(payload)])

    async def call(self, tool: str, order: CallOrder | None = None, **changes: Any) -> ToolReport:
        """Go to the door as Temporal would: again after every retryable error, when it says so."""
        order = order or self.order(tool, **changes)
        for number in range(1, 500):
            try:
                return await self.attempt(tool, order, number)
            except ApplicationError as error:
                if error.non_retryable or error.next_retry_delay is None:
                    raise
                self.clock.now += error.next_retry_delay
        raise AssertionError("the call never came to an end")

    async def crash(self, tool: str, order: CallOrder | None = None, **changes: Any) -> None:
        """Go to the door until the worker is killed."""
        try:
            await self.call(tool, order, **changes)
        except Crash:
            return
        raise AssertionError("nothing crashed")

    async def row(self, order: CallOrder) -> Row:
        row = await self.ledger.find(order.key)
        assert isinstance(row, Row)
        return row

    async def events(self) -> list[str]:
        return [line.event async for line in self.ledger.lines(TASK)]


SHUTDOWN = ActivityCancellationDetails(worker_shutdown=True)
CANCEL = ActivityCancellationDetails(cancel_requested=True)
REFUSAL = Refused("not_refundable", "the order was refunded before")
NOT_SENT = NotSent("connection refused")
