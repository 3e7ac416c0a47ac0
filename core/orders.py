"""Turn commands into the inputs of activities: the only place where the state meets their shapes."""

import json
import re
from typing import Any

from core import freshness, names, routing
from core.budget import allowance, expected_input, left, output_cap
from core.change import all_steps
from core.messages import (
    CallOrder,
    CallTool,
    ConcludeOrder,
    Deferred,
    EffectsOrder,
    ListEffects,
    Notify,
    OpenOrder,
    PlanOrder,
    ProposePlan,
    ToolRefused,
)
from core.ports import Notice
from core.profile import Model
from core.record import Json
from core.recounting import recount
from core.references import INPUTS, Later, Reference, Resolved, Unresolvable, escape, find, resolve
from core.task import Phase, Step, TaskState

_NUMBER = re.compile(r"(?<!\w)-?(?<![.,])[0-9]+(?:[.,][0-9]+)*(?!\w)")

MAX_ORDER_BYTES = 1_000_000
"""Of a call's arguments. Beyond 2 MB Temporal refuses the activity's input, and with it the workflow task, for ever;
a small plan gets there by naming one result two hundred times.
"""


def open_order(state: TaskState, first_run_id: str = "") -> OpenOrder:
    """Make the input of `open_task`; `first_run_id` is that of the chain of runs, as Temporal says."""
    return OpenOrder(task_id=state.task_id, first_run_id=first_run_id, **state.spec.model_dump())


def plan_order(state: TaskState, command: ProposePlan, first_run_id: str = "") -> PlanOrder:
    """Make the input of `propose_plan`; `first_run_id` is that of the chain of runs, as Temporal says."""
    if state.profile is None:
        raise ValueError("a task plans only after it was opened")
    model = routing.route(state)[command.route]
    briefing = recount(state, model.name, command.call)
    input_tokens = expected_input(state.profile, model, state.planning.last_input, len(briefing.model_dump_json()))
    return PlanOrder(
        model=model.name,
        briefing=briefing,
        requested_by=state.spec.requested_by,
        amendments=state.amendments,
        earlier={step.id: step.tool for step in all_steps(state) if step.phase is Phase.SUCCEEDED},
        limits=state.profile.limits,
        max_output_tokens=output_cap(state.profile, model, left(state), input_tokens) or 1,
        **(_routed(state, model, input_tokens, first_run_id) if state.profile.routed else {}),
    )


def _routed(state: TaskState, model: Model, input_tokens: int, first_run_id: str) -> dict[str, Any]:
    """Say why the model is asked, and what is to be reserved; one that others stand behind is asked only once."""
    planning = state.planning
    return {
        "offer": model,
        "purpose": planning.purpose,
        "because": planning.because,
        "chain": first_run_id,
        "input_tokens": input_tokens,
        "allowed_tokens": int(allowance(state, "tokens")),
        "allowed_usd": allowance(state, "cost_usd"),
        "waived_on": planning.waived_on,
        **({"attempts": 1} if routing.has_next(state) else {}),
    }


def call_order(state: TaskState, command: CallTool, ancestors: tuple[str, ...] = ()) -> CallOrder | ToolRefused:
    """Make the input of a tool's activity; a reference without a value refuses the step, by name.

    `ancestors`: runs that this one continues, as long as the ledger may not know it yet.
    """
    step = state.steps[command.step]
    try:
        resolved = _resolved(state, step)
    except Unresolvable as error:
        return ToolRefused(step=step.id, code="not_resolved", message=str(error))
    if not isinstance(resolved.value, dict):
        return ToolRefused(step=step.id, code="not_resolved", message="the arguments as a whole are no object")
    deferred = _deferred(state, step.id, resolved)
    if (size := _size(resolved.value, deferred)) > MAX_ORDER_BYTES:
        message = f"the arguments have {size} bytes, at most {MAX_ORDER_BYTES} can be sent; refer to less"
        return ToolRefused(step=step.id, code="too_large", message=message)
    return CallOrder(
        agent=state.spec.agent,
        task_id=state.task_id,
        step=step.id,
        intent=step.intent,
        revision=step.revision,
        key=step.key,
        digest=step.terms.digest,
        args=resolved.value,
        origin=resolved.origin,
        deferred=deferred,
        approvals=step.approvals,
        ruling=step.ruling,
        repeat_of=step.full_id(step.planned.repeat_of) if step.planned.repeat_of else None,
        settle_only=state.settles_only,
        ancestors=ancestors,
        epoch=state.epoch,
        undoes=step.undoes,
        receipt=step.receipt,
        fresh_until=freshness.fresh_until(state, step),
    )


def _size(args: Json, deferred: tuple[Deferred, ...]) -> int:
    return len(json.dumps(args)) + sum(len(one.model_dump_json()) for one in deferred)


def known_args(state: TaskState, step: Step) -> tuple[dict[str, Json], dict[str, str]]:
    """Return a step's arguments and their origin; nothing where the state cannot say all of them."""
    try:
        resolved = _resolved(state, step)
    except Unresolvable:
        return {}, {}
    return ({}, {}) if resolved.deferred or not isinstance(resolved.value, dict) else (resolved.value, resolved.origin)


def shown_args(state: TaskState, step: Step) -> Json:
    """Return a step's arguments as far as the state can resolve them."""
    try:
        return _resolved(state, step).value
    except Unresolvable:
        return step.planned.args


def _resolved(state: TaskState, step: Step) -> Resolved:
    if step.edited is not None:
        return Resolved(step.edited, dict(step.edited_origin))
    resolved = resolve(step.planned.args, lambda name: _source(state, step.full_id(name)))
    for at, value in _leaves(step.planned.args):
        if at not in resolved.origin and not _is_reference(value) and _was_requested(state, value):
            resolved.origin[at] = "request"
    return resolved


def _source(state: TaskState, name: str) -> tuple[Json, str]:
    if name == INPUTS:
        return state.spec.inputs, "request"
    step = state.step(name)
    if step is None or step.phase is not Phase.SUCCEEDED:
        raise Unresolvable(f"{name} has no result")
    if step.forgotten:
        raise Unresolvable(f"the result of {name} is not kept here any more")
    if step.blob is not None:
        raise Later(name)
    return step.result, f"tool:{step.tool}"


def _deferred(state: TaskState, step_id: str, resolved: Resolved) -> tuple[Deferred, ...]:
    made = []
    for at, expression in resolved.deferred.items():
        blobs, values, origins = {}, {}, {}
        for reference in find(expression):
            if isinstance(reference, Reference):
                full = reference.step if "." in reference.step else f"{step_id.partition('.')[0]}.{reference.step}"
                step = state.step(full)
                if step is not None and step.blob is not None:
                    blobs[reference.step] = step.blob
                    origins[reference.step] = f"tool:{step.tool}"
                else:
                    source = INPUTS if reference.step == INPUTS else full
                    values[reference.step], origins[reference.step] = _source(state, source)
        made.append(Deferred(at=at, expression=expression, blobs=blobs, values=values, origins=origins))
    return tuple(made)


def _leaves(value: Json, at: str = "") -> list[tuple[str, Json]]:
    match value:
        case dict() if "$from" not in value:
            return [leaf for name, item in value.items() for leaf in _leaves(item, f"{at}/{escape(name)}")]
        case list():
            return [leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{at}/{index}")]
    return [(at, value)]


def _is_reference(value: Json) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and "{{" in value)


def _was_requested(state: TaskState, value: Json) -> bool:
    """A literal that stands in the inputs, or as a word of its own in the goal, came from the request."""
    if value is None or isinstance(value, bool) or value == "":
        return False
    if any(_is_given(value, given) for _, given in _leaves(state.spec.inputs)):
        return True
    text = str(value)
    if _NUMBER.fullmatch(text):
        return text in _NUMBER.findall(state.spec.goal)
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", state.spec.goal) is not None


def _is_given(value: Json, given: Json) -> bool:
    """An integer of the inputs is meant by its decimal text too; a text of the inputs is meant by nothing else."""
    if type(value) is type(given):
        return bool(value == given)
    return isinstance(value, str) and isinstance(given, int) and not isinstance(given, bool) and value == str(given)


def effects_order(state: TaskState, command: ListEffects) -> EffectsOrder:
    """Make the input of `list_effects`."""
    return EffectsOrder(agent=state.spec.agent, task_id=state.task_id, below=command.below)


def conclude_order(state: TaskState) -> ConcludeOrder | tuple[str, ...]:
    """Make the input of `conclude`, or say what the answer lacks."""
    prefix = names.step_id(state.round, "")
    answer = state.finish or ""
    try:
        resolved = resolve(
            {"answer": answer},
            lambda name: _source(state, name if name == INPUTS or "." in name else f"{prefix}{name}"),
        )
    except Unresolvable as error:
        return (f"the answer cannot be written: {error}",)
    return ConcludeOrder(
        agent=state.spec.agent,
        task_id=state.task_id,
        answer=resolved.value["answer"] or "",
        deferred=_deferred(state, prefix, resolved),
    )


def notice(state: TaskState, command: Notify) -> Notice:
    """Make the input of `notify`."""
    told = state.told[f"{command.request}:{command.rung}"]
    return Notice(
        task_id=state.task_id,
        agent=state.spec.agent,
        rung=told.rung,
        to=told.to,
        title=told.title,
        text=told.text,
        request_id=told.request,
    )
