"""Rounds: a plan becomes steps, steps become ready, a round ends and says how to go on."""

from core import freshness, names
from core.change import change, in_phase, put, replan
from core.contract import Effect, Terms
from core.messages import ToolSucceeded
from core.plan import Plan, PlannedStep
from core.planning import enter_planning
from core.record import Json
from core.references import Reference, find
from core.task import Phase, Stage, Step, TaskState

_KEPT_SIGHTINGS = 200
FAILED = (Phase.REFUSED, Phase.UNAVAILABLE, Phase.DROPPED, Phase.SKIPPED)


def plan_digest(plan: Plan) -> str:
    """Hash what a plan would do; its reasons and its confidence do not count."""
    steps = [step.model_dump(mode="json", exclude={"why"}) for step in plan.steps]
    return names.likeness([steps, plan.finish.answer if plan.finish else None])


def commit(state: TaskState, plan: Plan, terms: dict[str, Terms]) -> TaskState:
    """Make a plan's steps the round under way; each gets its intent number, hence its key, now."""
    number = state.round + 1
    state = change(
        state,
        round=number,
        past={**state.past, **state.steps},
        steps={},
        finish=plan.finish.answer if plan.finish else None,
        plan_digest=plan_digest(plan),
        fallbacks={**state.fallbacks, **terms},
        stage=Stage.ACTING if plan.steps else Stage.CONCLUDING,
        steps_taken=state.steps_taken + len(plan.steps),
    )
    own = {planned.id for planned in plan.steps}
    made = {}
    for offset, planned in enumerate(plan.steps):
        step = _make(state, planned, terms[planned.tool], own, state.next_intent + offset)
        made[step.id] = step
    state = change(state, steps=made, next_intent=state.next_intent + len(made))
    return replan(
        state,
        route=state.planning.floor,
        refused=0,
        escalated=False,
        because="",
        parks=0,
        faults=(),
        instructions=(),
        candidate=None,
        candidate_terms={},
    )


def _make(state: TaskState, planned: PlannedStep, terms: Terms, own: set[str], intent: int) -> Step:
    uses = {found.step for found in find(planned.args) if isinstance(found, Reference)} | set(planned.after)
    uses |= (
        {planned.repeat_of} if planned.repeat_of else set()
    )  # else both would be open at once, and the second blocked
    return Step(
        id=names.step_id(state.round, planned.id),
        planned=planned,
        terms=terms,
        needs=tuple(sorted(names.step_id(state.round, name) for name in uses & own)),
        intent=intent,
        key=key_of(state, intent, 1, planned.tool),
    )


def key_of(state: TaskState, intent: int, revision: int, tool: str) -> str:
    """Make the key of one revision of an intent."""
    namespace = state.profile.namespace if state.profile else ""
    return names.effect_key(namespace, state.task_id, intent, revision, tool)


def revise(state: TaskState, step: Step, **fields: Json) -> TaskState:
    """Start a step over under a new revision, hence a new key."""
    revision = step.revision + 1
    key = key_of(state, step.intent, revision, step.tool)
    fresh = {"phase": Phase.PLANNED, "entry": 1, "approvals": (), "ruling": None, "code": "", "outcome": ""}
    return put(state, step, **{**fresh, "receipt": None, "revision": revision, "key": key, **fields})


def promote(state: TaskState) -> TaskState:
    """Send ready steps to the door, as many as may run at once."""
    limit = state.profile.limits.parallel if state.profile else 1
    for step in in_phase(state, Phase.PLANNED):
        room = limit - len(in_phase(state, Phase.CALLING))
        if room <= 0:
            break
        if all(state.steps[need].phase is Phase.SUCCEEDED for need in step.needs):
            state = freshness.approach(state, step, room)
    return state


def succeed(state: TaskState, step: Step, event: ToolSucceeded, args: Json) -> TaskState:
    """Remember result and receipt; count sightings of the same call with the same result."""
    fields = event.model_dump(exclude={"kind", "step"})
    is_read, was_seen = step.terms.effect is Effect.READ, step.seen_at is not None
    fields |= {"seen_at": state.now} if is_read else {}
    state = put(state, step, phase=Phase.SUCCEEDED, outcome="succeeded", code="", message="", ruling=None, **fields)
    if was_seen:  # read again because it grew old: no sign of going round in circles
        return state
    sight = names.likeness([step.tool, args, event.blob or event.result])
    seen = {**state.calls_seen, sight: state.calls_seen.get(sight, 0) + 1}
    return change(state, calls_seen=dict(list(seen.items())[-_KEPT_SIGHTINGS:]))


def drop_dependents(state: TaskState) -> TaskState:
    """Stop what can no longer run because something before it failed."""
    steps = dict(state.steps)
    for step in state.steps.values():  # in order of the plan: what is needed comes before
        if step.phase is not Phase.PLANNED:
            continue
        if any(steps[need].phase in FAILED for need in step.needs) or freshness.has_lost_ground(state, step, FAILED):
            steps[step.id] = step.model_copy(update={"phase": Phase.DROPPED, "message": "something before it failed"})
    return change(state, steps=steps)


def drop_undispatched(state: TaskState, why: str) -> TaskState:
    """Drop every step that is not in the door and not in doubt."""
    steps = dict(state.steps)
    for step in in_phase(state, Phase.PLANNED, Phase.ASKING):
        steps[step.id] = step.model_copy(update={"phase": Phase.DROPPED, "message": why})
    return change(state, steps=steps)


def fall_back(state: TaskState, step: Step) -> TaskState | None:
    """Put the declared fallback tool in the step's place, as an intent of its own; None when there is none."""
    tool = step.terms.fallback
    terms = state.fallbacks.get(tool) if tool else None
    tried = (*step.tried, step.tool)
    if tool is None or terms is None or tool in tried or tool in state.planning.without_tools:
        return None
    other = step.model_copy(
        update={
            "planned": step.planned.model_copy(update={"tool": tool}),
            "terms": terms,
            "intent": state.next_intent,
            "entry": step.entry + 1,
            "key": key_of(state, state.next_intent, step.revision, tool),
            "phase": Phase.PLANNED,
            "approvals": (),
            "ruling": None,
            "tried": tried,
        }
    )
    return change(put(state, other), next_intent=state.next_intent + 1)


def go_on(state: TaskState) -> TaskState:
    """Plan next; but first let what is open of a round end, such as effects that an earlier run left."""
    if any(step.phase.is_open for step in state.steps.values()):
        return change(state, stage=Stage.ACTING)
    return enter_planning(state)


def end_round(state: TaskState) -> TaskState:
    """Go on when no step of the round is open any more: conclude, or plan again."""
    if any(step.phase.is_open for step in state.steps.values()):
        return state
    if any(step.phase in FAILED for step in state.steps.values()):
        failed = (*state.failed_plans, state.plan_digest)[-50:]
        return enter_planning(change(state, failed_plans=failed))
    if state.finish is not None:
        return change(state, stage=Stage.CONCLUDING)
    return enter_planning(state)
