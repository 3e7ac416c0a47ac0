"""Keep the state small: what is carried into the next run, at most 256 kB of JSON. The ledger has what is left out."""

import json
from typing import Any

from core.change import change, replan
from core.contract import Effect
from core.freshness import rests_on
from core.record import Json
from core.references import Reference, find
from core.shortening import shortened
from core.task import Folded, Step, TaskState

MAX_BYTES = 192 * 1024
"""Below the 256 kB that a state may have, since signals may still add to it."""
_SMALL = 1024
_PREVIEW = 500
_INSTRUCTIONS = 16 * 1024


def size_bytes(state: TaskState) -> int:
    """Return the bytes that a state takes as JSON."""
    return len(state.model_dump_json().encode())


def fold_old(state: TaskState) -> TaskState:
    """Leave out what is needed least until the state fits: old steps, results, then what is only shown."""
    for fold in (_drop_past, _forget_unneeded, _forget_results, _cut_requests, _cut_planning, _cut_receipts):
        excess = size_bytes(state) - MAX_BYTES
        if excess <= 0:
            return state
        state = fold(state, excess)
    return state


def _needed(state: TaskState) -> set[str]:
    """Name the steps whose results something still to come refers to."""
    still = [step for step in state.steps.values() if step.phase.is_open]
    under = [read for step in still for read in rests_on(state, step)]
    texts = [(step.id, step.planned.args) for step in (*still, *under)]
    found = [(at, one.step) for at, value in texts for one in find(value) if isinstance(one, Reference)]
    found += [(f"r{state.round}.", one.step) for one in find(state.finish) if isinstance(one, Reference)]
    return {name if "." in name else f"{at.partition('.')[0]}.{name}" for at, name in found}


def _drop_past(state: TaskState, excess: int) -> TaskState:
    past, needed = dict(state.past), _needed(state)
    steps = effects = 0
    for step_id, step in state.past.items():
        if excess <= 0:
            break
        if step_id in needed:
            continue
        excess -= len(step.model_dump_json().encode()) + len(step_id) + 4
        del past[step_id]
        steps += 1
        effects += step.terms.effect is not Effect.READ and step.outcome != ""
    folded = Folded(steps=state.folded.steps + steps, effects=state.folded.effects + effects)
    return change(state, past=past, folded=folded)


def _forget_unneeded(state: TaskState, _excess: int) -> TaskState:
    return _forget(state, keep=_needed(state))


def _forget_results(state: TaskState, _excess: int) -> TaskState:
    return _forget(state, keep=set())


def _forget(state: TaskState, keep: set[str]) -> TaskState:
    def lighter(steps: dict[str, Step]) -> dict[str, Step]:
        return {name: step if name in keep or step.phase.is_open else _light(step) for name, step in steps.items()}

    return change(state, steps=lighter(state.steps), past=lighter(state.past))


def _light(step: Step) -> Step:
    planned = step.planned.model_copy(
        update={"args": _capped(step.planned.args, _SMALL), "why": step.planned.why[:200]}
    )
    edited = None if step.edited is None else _capped(step.edited, _SMALL)
    light: dict[str, Any] = {"planned": planned, "edited": edited, **_without_result(step)}
    if planned.args != step.planned.args and step.terms.fresh_for is not None:
        light["forgotten"] = True  # with these arguments it cannot be read again
    return step.model_copy(update=light)


def _without_result(step: Step) -> dict[str, Json]:
    shown = _capped({"result": step.result}, _SMALL)
    if step.blob is not None or "cut" not in shown:
        return {}
    return {"result": None, "forgotten": True, "preview": shown["cut"][:_PREVIEW], "size": shown["bytes"]}


def _cut_requests(state: TaskState, _excess: int) -> TaskState:
    """Show less. An answer is bound to the digest; only an edit, which builds on what is shown, is refused then."""
    less = {
        name: one.model_copy(
            update={"args": shortened(one.args, _SMALL), "facts": shortened(one.facts, _SMALL), "why": one.why[:_SMALL]}
        )
        for name, one in state.requests.items()
    }
    return change(state, requests=less)


def _cut_planning(state: TaskState, _excess: int) -> TaskState:
    instructions: list[str] = []
    room = _INSTRUCTIONS
    for text in reversed(state.planning.instructions):
        if (room := room - len(text.encode())) < 0:
            break
        instructions.insert(0, text)
    return replan(state, candidate=None, candidate_terms={}, instructions=tuple(instructions))


def _cut_receipts(state: TaskState, _excess: int) -> TaskState:
    """Keep that a tool answered, and the beginning of what."""
    return change(state, steps={name: _with_short_receipt(step) for name, step in state.steps.items()})


def _with_short_receipt(step: Step) -> Step:
    if step.receipt is None:
        return step
    shown = _capped({"result": step.receipt.result}, _SMALL)
    if "cut" not in shown:
        return step
    short = step.receipt.model_copy(update={"result": shown, "message": step.receipt.message[:_SMALL]})
    return step.model_copy(update={"receipt": short})


def _capped(value: dict[str, Json], limit: int) -> dict[str, Json]:
    """Return a value, or its beginning as text when it is larger than `limit` bytes."""
    text = json.dumps(value, default=str)
    return value if len(text) <= limit else {"cut": text[:limit], "bytes": len(text)}
