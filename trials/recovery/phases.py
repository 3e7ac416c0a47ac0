"""The phases in which a worker is killed. Each brings a task there, kills its worker, and waits for what comes next.

========== ============================================ ===============================================================
phase      the worker is killed while                   measured until
========== ============================================ ===============================================================
parked     an approval is awaited                       the effect arrives; the approval is sent 0.25 s after the kill
deciding   a workflow task is in its hands              as parked, but the approval is sent while the worker dies
planning   the model holds its answer                   the model is asked again
before     the preflight of a call is held: not marked  the preflight is asked again
effect     the provider has applied, holds its answer   the provider is asked again, under the same key
validating `conclude` reads back, and is held           it is read back again
========== ============================================ ===============================================================
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from core.record import Json
from trials.counter import Counter
from trials.recovery.crew import Crew
from trials.stage import Stage, Task, outcome, runs, status

_NOTICED_S = 0.25
"""Until a busy server has surely seen that a dead worker's connections are closed. What comes sooner it may hand to the
dead one's open poll, and then wait for its decision: that is the phase `deciding`.
"""

VERIFIED_BY_DOOR = 3
"""How often the door reads back before `conclude` does."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a phase plays with."""

    stage: Stage
    crew: Crew

    @property
    def counter(self) -> Counter:
        """Return the other side."""
        return self.stage.counter


Phase = Callable[[Scene, str], Awaitable[float]]
"""Plays one sample with a task id, and returns the seconds for which the task stood still."""


async def parked(scene: Scene, task_id: str) -> float:
    """Kill whoever has the parked task in its cache."""
    return await _approved(scene, task_id, is_dead=True)


async def deciding(scene: Scene, task_id: str) -> float:
    """Kill whoever is about to be handed the approval: the server waits for its decision until the time-out of 10 s."""
    return await _approved(scene, task_id, is_dead=False)


async def _approved(scene: Scene, task_id: str, *, is_dead: bool) -> float:
    task = await _begin(scene, task_id, "grant", {"amount_cents": 5})
    await status(task, "AWAITING_APPROVAL")
    await _rests(task)
    at = await scene.crew.kill(await _holder(scene.stage, task), is_awaited=is_dead)
    if is_dead:
        await asyncio.sleep(_NOTICED_S)
    await task.signal("approve", "ana")
    moved = await scene.counter.nth("grant", task_id, 1)
    await _completes(scene, task, "grant")
    return moved.at - at


async def planning(scene: Scene, task_id: str) -> float:
    """Kill whoever waits for the model."""
    gate, before = _close(scene.counter, "plan"), len(scene.counter.arrived("plan"))
    task = await _begin(scene, task_id, "pay", {"amount_cents": 5})
    await scene.counter.nth("plan", "", before + 1)
    at = await scene.crew.kill(await _holder(scene.stage, task, is_activity=True))
    gate.set()
    moved = await scene.counter.nth("plan", "", before + 2)
    await _completes(scene, task, "pay")
    return moved.at - at


async def before_the_mark(scene: Scene, task_id: str) -> float:
    """Kill whoever looks up the facts of a call that is not marked yet."""
    return await _at_gate(scene, task_id, ("ship", {"order_id": "1"}), "preflight")


async def mid_effect(scene: Scene, task_id: str) -> float:
    """Kill whoever has sent and has no answer."""
    return await _at_gate(scene, task_id, ("pay", {"amount_cents": 5}), "pay")


async def validating(scene: Scene, task_id: str) -> float:
    """Kill whoever is in `conclude`."""
    task = await _begin(scene, task_id, "book", {"order_id": "1"})
    await scene.counter.nth("verify", task_id, VERIFIED_BY_DOOR)
    return await _kill_at(scene, task, "book", ("verify", VERIFIED_BY_DOOR + 1))


async def _at_gate(scene: Scene, task_id: str, call: tuple[str, dict[str, Json]], held: str) -> float:
    gate = _close(scene.counter, held)
    task = await _begin(scene, task_id, *call)
    return await _kill_at(scene, task, call[0], (held, 1), gate)


async def _kill_at(
    scene: Scene, task: Task, tool: str, held: tuple[str, int], gate: asyncio.Event | None = None
) -> float:
    """Kill the sender of the `held` request, and wait for the next one of its kind."""
    what, number = held
    gate = gate or _close(scene.counter, what)
    victim = await scene.counter.nth(what, task.id, number)
    at = await scene.crew.kill(victim.pid)
    gate.set()
    moved = await scene.counter.nth(what, task.id, number + 1)
    await _completes(scene, task, tool)
    return moved.at - at


def _close(counter: Counter, what: str) -> asyncio.Event:
    gate = counter.gates[what] = asyncio.Event()
    return gate


async def _begin(scene: Scene, task_id: str, tool: str, args: dict[str, Json]) -> Task:
    scene.counter.plan = json.dumps(plan_of(tool, args))
    return await scene.stage.start(task_id)


def plan_of(tool: str, args: dict[str, Json]) -> Json:
    """Write a plan of one call as a language model sends it."""
    step: Json = {"id": "s1", "tool": tool, "args": json.dumps(args), "why": "tried", "after": [], "repeat_of": None}
    return {"steps": [step], "finish": {"answer": "done"}, "ask": None, "confidence": 1}


async def _rests(task: Task) -> None:
    """Wait until nothing of a task is under way: it asks before its notice to people is sent, and hears of that."""
    async with asyncio.timeout(30):
        while True:
            description = (await task.describe()).raw_description
            if not description.pending_activities and not description.HasField("pending_workflow_task"):
                return
            await asyncio.sleep(0.01)


async def _holder(stage: Stage, task: Task, *, is_activity: bool = False) -> int:
    """Return the process id of whoever took the task's last workflow task, or is at work on its activity."""
    if is_activity:
        [pending] = (await task.describe()).raw_description.pending_activities
        return _pid_of(pending.last_worker_identity)
    identity = ""
    async for events in runs(stage.client, task):
        for event in events:
            identity = event.workflow_task_started_event_attributes.identity or identity
    return _pid_of(identity)


def _pid_of(identity: str) -> int:
    """The SDK names a worker PID@HOST."""
    return int(identity.partition("@")[0])


async def _completes(scene: Scene, task: Task, tool: str) -> None:
    """See that the task ends well, with its effect applied once. Raises Broken."""
    result = await outcome(task)
    applied = scene.counter.applied(tool, task.id)
    if (result["status"], applied) != ("COMPLETED", 1):
        raise Broken(f"{task.id}: {result['status']} with {applied} applications of {tool}: {result['reason']}")


class Broken(Exception):
    """A killed worker cost more than time."""


PHASES: dict[str, Phase] = {
    "parked": parked,
    "deciding": deciding,
    "planning": planning,
    "acting, before the mark": before_the_mark,
    "mid effect (keyed)": mid_effect,
    "validating": validating,
}
