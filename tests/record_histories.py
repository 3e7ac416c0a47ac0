"""Record `tests/histories/*.json` again: ``python -m tests.record_histories [NAME ...]``.

Each file is the history of a real run against a real server. They stand for the tasks that users have under way, so a
change must replay them as they are; `tests/workflows/test_replay.py` does, in every test run. Record again only

- when a scenario is added (name it, so that the others stay as they are), or
- before the first release of a shape, when a change of behaviour is meant to break what runs (say so in CHANGELOG.md).

What would name the machine it was recorded on (identities of workers, builds, stack traces) is left out.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from core.errors import LedgerDown
from core.profile import EndStatus, Ladder, Limits
from core.receipts import Row, Settlement, Stop
from core.record import Json
from core.spending import DayBudget
from ledger.memory import MemoryLedger
from tests.workflows import resets
from tests.workflows.doomed import Till, kill, kill_in_mid_effect, spawn, world_in
from tests.workflows.shop import Shop
from tests.workflows.stories import outcome_of
from tests.worlds import Conditions, Rules, World, asks, dev_server, now, plan, ref, step, until

FOLDER = Path(__file__).parent / "histories"
SHORT_RUNS = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30")
Handle = WorkflowHandle[Any, Any]
Scenario = Callable[[World, Shop], Awaitable[Handle]]

PAY = plan(step("s1", "pay", order_id=ref("inputs", "/order_id"), amount=5), answer="paid {{s1/amount}}")
TWO = plan(step("s1", "pay", order_id="1", amount=5), step("s2", "mail", after=["s1"], to="jane", body="hello"))
MAIL = plan(step("s1", "mail", to="jane@example.org", body="hello"))
WISH: dict[str, Json] = {"goal": "refund order 1", "inputs": {"order_id": "1"}, "requested_by": "carl"}


async def completed(world: World, shop: Shop) -> Handle:
    """Five tools, data flow, and two steps at the same time."""
    steps = (
        step("s1", "look", order_id=ref("inputs", "/order_id")),
        step("s2", "pay", order_id="1", amount=ref("s1", "/total")),
        step("s3", "note", after=["s1"], text="for {{s1/customer/email}}"),
        step("s4", "mail", after=["s2", "s3"], to=ref("s1", "/customer/email"), body="We paid {{s2/amount}}."),
        step("s5", "report", after=["s4"], text="all"),
    )
    world.agent("desk", shop.tools, [plan(*steps, answer="Paid {{s2/amount}}.")], done=Conditions(("mail",)))
    return await world.start("completed", **WISH)


async def failed(world: World, shop: Shop) -> Handle:
    """A refusal, a plan that is none, and an owner who ends it."""
    shop.refuse.add("pay")
    world.agent("desk", shop.tools, [PAY, {"text": "no plan"}, PAY], limits=Limits(repairs=2))
    handle = await world.start("failed", **WISH)
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"choice": "end", "by": "lead", "comment": "not worth it"})
    return handle


async def bad_input(world: World, shop: Shop) -> Handle:
    """Nothing that can be begun; recorded by a version that only raised the reason."""
    world.agent("desk", shop.tools, [PAY])
    return await world.start_with("bad_input", {"agent": "desk", "inputs": ["1"]})


async def rejected(world: World, shop: Shop) -> Handle:
    """Wrong answers first, then a refused approval."""
    handle = await _asked(world, shop, "rejected")
    await handle.signal("approve", "stranger")
    await handle.signal("aprove", "ana")
    await handle.signal("approve", args=["ana", "bob"])
    await handle.signal("reject", {"by": "ana", "comment": "too much"})
    return handle


async def expired(world: World, shop: Shop) -> Handle:
    """A reminder, an escalation, and nobody answers."""
    second = timedelta(seconds=1)
    ladder = Ladder(remind_after=second, escalate_after=2 * second, escalate_to=("boss",), expire_after=3 * second)
    return await _asked(world, shop, "expired", ladder=ladder)


async def cancelled(world: World, shop: Shop) -> Handle:
    """In the middle of an effect, which is waited for."""
    shop.gate.clear()
    world.agent("desk", shop.tools, [plan(*PAY["steps"], step("s2", "note", after=["s1"], text="x"))])
    handle = await world.start("cancelled", **WISH)
    await shop.sending.wait()
    await handle.cancel()
    await until(handle, "RECOVERING")
    shop.gate.set()
    return handle


async def amended(world: World, shop: Shop) -> Handle:
    """While an approval is open; paused and resumed on the way."""
    handle = await _asked(world, shop, "amended", plans=2)
    await handle.signal("pause", "carl")
    await until(handle, "PAUSED")
    await handle.signal("resume", "carl")
    await until(handle, "AWAITING_APPROVAL")
    await handle.signal("amend", {"goal": "refund order 2", "inputs": {"order_id": "2"}, "by": "carl"})
    await _open(handle, "q2")
    await handle.execute_update("decide", {"request_id": "q2", "choice": "approve", "by": "ana"})
    return handle


async def quorum(world: World, shop: Shop) -> Handle:
    """Two people approve, one of them twice."""
    handle = await _asked(world, shop, "quorum", quorum=2)
    for name in ("ana", "ana", "bob"):
        await handle.signal("approve", name)
    return handle


async def edited(world: World, shop: Shop) -> Handle:
    """An approver changes the arguments."""
    handle = await _asked(world, shop, "edited")
    await handle.signal("approve", {"by": "ana", "args": {"amount": 3}})
    return handle


async def replanned(world: World, shop: Shop) -> Handle:
    """A rejection with an instruction, and a fallback in the second round."""
    shop.down.add("pay")
    world.agent("desk", shop.tools, [MAIL, PAY], policy=Rules({"mail": asks("ana")}))
    handle = await world.start("replanned", **WISH)
    await until(handle, "AWAITING_APPROVAL")
    await handle.signal("reject", {"by": "ana", "replan": "pay instead"})
    return handle


async def question(world: World, shop: Shop) -> Handle:
    """The planner asks first."""
    world.agent("desk", shop.tools, [{"plan": {"ask": "Which order?"}}, PAY])
    handle = await world.start("question", **WISH)
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"by": "lead", "text": "order 1"})
    return handle


async def doubted(world: World, shop: Shop) -> Handle:
    """An answer is lost, and a person says that it happened."""
    shop.lost.add("mail")
    world.agent("desk", shop.tools, [MAIL])
    handle = await world.start("doubted", **WISH)
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"choice": "happened", "by": "lead", "evidence": "seen in the mailbox"})
    return handle


async def continued(world: World, shop: Shop) -> Handle:
    """An approval stays open while other steps fill several runs."""
    notes = [step(f"s{n}", "note", after=[f"s{n - 1}"] if n else [], text=f"note {n}") for n in range(8)]
    both = plan(step("p", "pay", order_id="1", amount=5), *notes)
    world.agent("desk", shop.tools, [both], policy=Rules({"pay": asks("ana")}))
    handle = await world.start("continued", **WISH)
    async with asyncio.timeout(30):
        while (await until(handle, "AWAITING_APPROVAL"))["steps_done"] < len(notes):
            await asyncio.sleep(0.05)
    await handle.signal("approve", {"by": "ana", "request_id": "q1"})
    return handle


async def reset(world: World, shop: Shop) -> Handle:
    """To the first workflow task, with a payment done and a mail asked about: the owner goes on."""
    world.agent("desk", shop.tools, [TWO, TWO], policy=Rules({"mail": asks("ana")}))
    first = await world.start("reset", **WISH)
    await until(first, "AWAITING_APPROVAL")
    handle = await resets.reset(world.client, first.id)
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"choice": "retry", "by": "lead"})
    await until(handle, "AWAITING_APPROVAL")
    await handle.signal("approve", "ana")
    return await _latest(world, handle)


async def reset_later(world: World, shop: Shop) -> Handle:
    """To a workflow task in the middle: the door tells of a new epoch."""
    world.agent("desk", shop.tools, [TWO, TWO])
    first = await world.start("reset_later", **WISH)
    await outcome_of(first)
    handle = await resets.reset(world.client, first.id, to=await resets.workflow_task_before(first, "mail"))
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"choice": "replan", "by": "lead", "replan": "go on"})
    return await _latest(world, handle)


async def again(world: World, shop: Shop) -> Handle:
    """A task that was terminated in mid-send runs again under its id."""
    shop.gate.clear()
    world.agent("desk", shop.tools, [TWO, TWO])
    first = await world.start("again", **WISH)
    await shop.sending.wait()
    await first.terminate("to run it again")
    handle = await world.start("again", again=True, **WISH)
    await until(handle, "ACTING", "RECOVERING")
    shop.gate.set()
    return handle


async def undone(world: World, shop: Shop) -> Handle:
    """Cancelled after two bookings, which are taken back, latest first."""
    bookings = [step("b1", "book", room="1"), step("b2", "book", after=["b1"], room="2")]
    work = plan(*bookings, step("m", "mail", after=["b2"], to="jane", body="booked"))
    tools = [*shop.tools, shop.book]
    world.agent("desk", tools, [work], policy=Rules({"mail": asks("ana")}), undo_on=[EndStatus.CANCELLED])
    handle = await world.start("undone", **WISH)
    await until(handle, "AWAITING_APPROVAL")
    await handle.cancel()
    return handle


async def refreshed(world: World, shop: Shop) -> Handle:
    """A price is asked again before the payment, since an approval took its time."""
    work = plan(step("s1", "price", order_id="1"), step("s2", "pay", order_id="1", amount=ref("s1", "/total")))
    world.agent("desk", [*shop.tools, shop.price], [work], policy=Rules({"pay": asks("ana")}))
    handle = await world.start("refreshed", **WISH)
    await until(handle, "AWAITING_APPROVAL")
    await asyncio.sleep(2.5)
    await handle.signal("approve", "ana")
    return handle


async def grown_old(world: World, shop: Shop) -> Handle:
    """A payment is stopped for longer than its price holds: it is made with another price, and asked for again."""
    work = plan(step("s1", "price", order_id="1"), step("s2", "pay", order_id="1", amount=ref("s1", "/total")))
    world.agent("desk", [*shop.tools, shop.price], [work], policy=Rules({"pay": asks("ana")}))
    await world.ledger.stop(Stop(tool="pay", by="ana", reason="wrong price", at=now()))
    handle = await world.start("grown_old", **WISH)
    await until(handle, "AWAITING_APPROVAL")
    await handle.signal("approve", "ana")
    await asyncio.sleep(2.5)
    await world.ledger.start("pay")
    await _open(handle, "q2")
    await handle.signal("approve", "ana")
    return handle


async def receipt_kept(world: World, shop: Shop) -> Handle:
    """The ledger is down after an effect for longer than the attempt lasts."""
    world.ledger = Unwritable(clock=now)
    world.agent("desk", [*shop.tools, shop.ring], [plan(step("s1", "ring", bell="door"))])
    async with world.worker():
        handle = await world.start("receipt_kept", **WISH)
        await outcome_of(handle, seconds=60)
    return handle


async def strong(world: World, shop: Shop) -> Handle:
    """A cheap plan calls a tool of high stakes, so the strong model plans; the cheap one does again afterwards."""
    shop.refuse.add("pay")
    world.agent("desk", shop.tools, [PAY, PAY, MAIL], [MAIL, PAY])
    _route(world, strong=1, high_stakes=("pay",))
    return await world.start("strong", **WISH)


async def over_budget(world: World, shop: Shop) -> Handle:
    """The budget of the day does not hold the first call, and the owner lets the task go on."""
    world.agent("desk", shop.tools, [MAIL])
    _route(world, budget=DayBudget(tokens_per_day=100))
    handle = await world.start("over_budget", **WISH)
    await until(handle, "AWAITING_PERSON")
    await handle.signal("answer", {"choice": "retry", "by": "lead"})
    return handle


def _route(world: World, strong: int = 0, high_stakes: tuple[str, ...] = (), budget: DayBudget | None = None) -> None:
    """Have the agent's models chosen as those of a folder are."""
    agent = world.agents["desk"]
    chosen = {"routed": True, "strong": agent.profile.route[strong].name, "high_stakes": high_stakes}
    profile = agent.profile.model_copy(update=chosen)
    world.agents["desk"] = replace(agent, profile=profile, budget=budget or DayBudget())


class Unwritable(MemoryLedger):
    """Takes no receipt for 6 s."""

    since: datetime | None = None

    async def settle(self, key: str, fence: int, settlement: Settlement) -> Row | None:
        self.since = self.since or now()
        if now() < self.since + timedelta(seconds=6):
            raise LedgerDown("the database does not answer")
        return await super().settle(key, fence, settlement)


async def _latest(world: World, handle: Handle) -> Handle:
    """Return the handle of the run that a reset began, since that is the one to record."""
    return world.client.get_workflow_handle(handle.id, run_id=await resets.latest_run(world.client, handle.id))


SCENARIOS: Mapping[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        completed,
        failed,
        bad_input,
        rejected,
        expired,
        cancelled,
        amended,
        quorum,
        edited,
        replanned,
        question,
        doubted,
        continued,
        reset,
        reset_later,
        again,
        undone,
        refreshed,
        grown_old,
        receipt_kept,
        strong,
        over_budget,
    )
}


async def _asked(
    world: World, shop: Shop, name: str, *, plans: int = 1, quorum: int = 1, ladder: Ladder | None = None
) -> Handle:
    policy, people = Rules({"pay": asks("finance", quorum=quorum)}), {"finance": ("ana", "bob")}
    world.agent("desk", shop.tools, [PAY] * plans, policy=policy, people=people, ladder=ladder)
    handle = await world.start(name, **WISH)
    await until(handle, "AWAITING_APPROVAL")
    return handle


async def _open(handle: Handle, request: str) -> None:
    async with asyncio.timeout(20):
        while (await until(handle, "AWAITING_APPROVAL"))["open_requests"] != [request]:
            await asyncio.sleep(0.05)


async def record(name: str) -> None:
    """Run a scenario and write its histories, one file a run."""
    with tempfile.TemporaryDirectory() as folder:
        async with _server(SHORT_RUNS if name == "continued" else ()) as client:
            handle = await _perform(name, client, Path(folder))
            await outcome_of(handle, seconds=60)
            runs = [events async for events in _runs(client, handle)]
    for number, events in enumerate(runs, start=1):
        suffix = f"-{number}" if len(runs) > 1 else ""
        lines = ",\n".join(json.dumps(_scrubbed(event), separators=(",", ":")) for event in events)
        (FOLDER / f"{name}{suffix}.json").write_text(f'{{"events":[\n{lines}\n]}}\n')


@asynccontextmanager
async def _server(extra: tuple[str, ...]) -> AsyncIterator[Client]:
    async with dev_server(*extra) as environment:
        address = environment.client.service_client.config.target_host
        yield await Client.connect(address, data_converter=pydantic_data_converter)


async def _perform(name: str, client: Client, folder: Path) -> Handle:
    if name == "crashed":
        return await _crashed(client, folder)
    shop = Shop(blob_bytes=20_000)
    world = World(client, folder)
    if name == "receipt_kept":  # it needs a ledger of its own before there is a worker
        return await receipt_kept(world, shop)
    async with world.worker():
        handle = await SCENARIOS[name](world, shop)
        await outcome_of(handle, seconds=60)
    return handle


async def _crashed(client: Client, folder: Path) -> Handle:
    """A worker is killed after the provider took the payment; another one takes over."""
    doomed = spawn(client.service_client.config.target_host, "crashed", folder)
    async with world_in(client, "crashed", folder) as world:
        try:
            handle = await world.start("task", **WISH)
            await kill_in_mid_effect(doomed, Till(folder))
        finally:
            kill(doomed)
        async with world.worker():
            await outcome_of(handle, seconds=60)
    return handle


async def _runs(client: Client, handle: Handle) -> AsyncIterator[list[dict[str, Any]]]:
    run_id = handle.run_id or handle.first_execution_run_id
    while run_id:
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        yield history.to_json_dict()["events"]
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


_NAMES_THE_MACHINE = {"identity", "stackTrace", "buildId", "binaryChecksum", "deploymentName"}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return dict(_kept(value))
    return value


def _kept(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if name not in _NAMES_THE_MACHINE:
            yield name, _scrubbed(item)


async def main(names: list[str]) -> None:
    """Record what is named, or everything."""
    for name in names or [*SCENARIOS, "crashed"]:
        await record(name)
        sys.stdout.write(f"recorded {name}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
