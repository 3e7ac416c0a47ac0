"""Results of any size, from nothing to 64 MB: one effect, one receipt, and the task goes on with what was kept."""

from collections.abc import Sequence

from core.record import Json
from trials.bulk.planning import none
from trials.bulk.scene import staged_in_bulk
from trials.results import Figure
from trials.running import Run
from trials.stage import Stage, Task, failures, outcome, runs

KB, MB = 1024, 1024 * 1024
CAP = 8 * MB
"""What a tool's `result_cap` is by default; a larger result is cut."""
EDGES = tuple(edge + more for edge in (16 * KB, 256 * KB, 2 * MB, CAP) for more in (-1, 0, 1))
SIZES = (0, 1, *EDGES, 64 * MB)
_IN_SAMPLE = (0, 1, 16 * KB - 1, 16 * KB, 16 * KB + 1, 256 * KB + 1, 2 * MB + 1, CAP, CAP + 1, 64 * MB)
_LARGEST_PAYLOAD = 2 * MB
"""Temporal refuses a payload beyond it, and with it the workflow task."""


async def any_size(run: Run) -> Sequence[Figure]:
    """Fetch each size once: a write with this result, then a read that is given all of it, then another write."""
    sizes = SIZES if run.is_full else _IN_SAMPLE
    run.sizes["results in bytes of JSON"] = list(sizes)
    wrong: list[str] = []
    largest, slowest = 0, 0.0
    async with staged_in_bulk() as stage, stage.working():
        for size in sizes:
            task = await stage.start(f"size-{size}", [{"plan": plan_for(size)}])
            wrong += await _judge(stage, task, size)
            async for events in runs(stage.client, task):
                wrong += failures(events)
                largest = max(largest, *(event.ByteSize() for event in events))
                slowest = max(slowest, events[-1].event_time.seconds - events[0].event_time.seconds)
    return [
        none("results from 0 B to 64 MB: not one effect, one receipt and a task that goes on", wrong, len(sizes)),
        Figure(
            name="results from 0 B to 64 MB: largest event in history",
            measured=f"{largest:,} bytes",
            must_be="under 2 MB",
            holds=largest < _LARGEST_PAYLOAD,
            note=f"the longest task took {slowest:.0f} s",
        ),
    ]


def plan_for(size: int) -> Json:
    """Write the plan; a result that is cut does not fit where its text would go, so nothing measures it."""
    steps = [_step("s1", "fetch", size=size), _step("s2", "note", text="after it")]
    if size <= CAP:
        steps.append(_step("s3", "measure", value={"$from": "s1", "path": ""}))
    steps[1]["after"] = ["s1"]
    return {"steps": steps, "finish": {"answer": "{{s3}}" if size <= CAP else "cut"}}


def _step(name: str, tool: str, **args: Json) -> dict[str, Json]:
    return {"id": name, "tool": tool, "args": args, "after": [], "why": "tried"}


async def _judge(stage: Stage, task: Task, size: int) -> list[str]:
    result = await outcome(task, 300)
    written = size if size > 1 else size + 2  # the quotes
    receipts = stage.ledger(
        "select state, size, sends from lastmile_effects where task_id = ? and tool = 'fetch'", task.id
    )
    found = {
        "status": result["status"],
        "answer": result.get("answer"),
        "applications": (stage.counter.applied("fetch", task.id), stage.counter.applied("note", task.id)),
        "receipts": receipts,
    }
    expected = {
        "status": "COMPLETED",
        "answer": str(written) if size <= CAP else "cut",
        "applications": (1, 1),
        "receipts": [("SUCCEEDED", found_size(receipts, written), 1)],
    }
    return [
        f"{size:,} B: {name} {found[name]}, not {expected[name]}" for name in found if found[name] != expected[name]
    ]


def found_size(receipts: Sequence[tuple[Json, ...]], written: int) -> int:
    """Return the size that a receipt must say: of what is kept, which for a cut result is less than the cap."""
    if written <= CAP or not receipts:
        return written
    kept = int(receipts[0][1])
    return kept if kept <= CAP or kept == written else written
