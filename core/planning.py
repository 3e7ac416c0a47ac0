"""Planning: what happens when a plan comes, is refused, or does not come; and the bounds before each call."""

from datetime import timedelta

from core.asking import hold, question
from core.budget import allowance, charge, exhausted
from core.change import change, replan
from core.messages import PlannerUnavailable, PlanProposed, PlanRefused
from core.plan import Plan
from core.ports import Usage
from core.profile import Model
from core.recounting import recount
from core.task import Stage, TaskState
from core.telling import tell_owner

_FIRST_PARK = timedelta(seconds=5)
_LONGEST_PARK = timedelta(minutes=10)
_MOST_DOUBLINGS = 10  # without it a long outage would overflow the duration


def route_model(state: TaskState) -> Model | None:
    """Return the model in use."""
    route = state.profile.route if state.profile else ()
    return route[state.planning.route] if state.planning.route < len(route) else None


def enter_planning(state: TaskState) -> TaskState:
    """Plan next, if the bounds allow another call and the task makes progress; else ask the owner."""
    model = route_model(state)
    if state.profile is None:
        return state
    if model is None:
        return hold(state, "no_model", f"the agent {state.spec.agent} has no language model")
    if any(count >= state.profile.limits.same_call for count in state.calls_seen.values()) and state.round:
        return hold(state, "same_call", "the same call brought the same result again")
    if bound := exhausted(state, model, len(recount(state, model.name, state.planning.call).model_dump_json())):
        return hold(state, bound, f"the limit {bound} = {allowance(state, bound):g} is used up")
    return change(state, stage=Stage.PLANNING, retry_at=None)


def _count(state: TaskState, model_name: str, usage: Usage, *, replied: bool, attempts: int) -> TaskState:
    """Account for one call, whatever came of it."""
    model = next((one for one in state.profile.route if one.name == model_name), None) if state.profile else None
    planning = state.planning
    spent_errors = {} if replied else {**planning.spent_errors}
    if not replied:
        spent_errors[model_name] = spent_errors.get(model_name, 0) + attempts
    state = change(state, spent=charge(state.spent, model, usage))
    return replan(
        state,
        replies=planning.replies + replied,
        spent_errors=spent_errors,
        last_input=usage.input_tokens or planning.last_input,
    )


def _is_awaited(state: TaskState, call: int) -> bool:
    return state.stage is Stage.PLANNING and call == state.planning.call and state.ending is None


def take_plan(state: TaskState, event: PlanProposed) -> tuple[TaskState, bool]:
    """Account for a plan and say whether it is to be committed now."""
    is_awaited = _is_awaited(state, event.call)
    state = _count(state, event.model, event.usage, replied=True, attempts=event.attempts)
    profile = state.profile
    if not is_awaited or profile is None:
        return state, False
    state = replan(state, call=state.planning.call + 1, candidate=event.plan, candidate_terms=event.terms, parks=0)
    if event.plan.confidence < profile.limits.confidence:
        return _next_model(state, "confidence", f"the plan's confidence is {event.plan.confidence:g}"), False
    return admit(state, event.plan)


def admit(state: TaskState, plan: Plan) -> tuple[TaskState, bool]:
    """Say whether a plan may be committed; else put its question, or ask for more steps."""
    if plan.ask is not None:
        return question(state, plan.ask), False
    if state.steps_taken + len(plan.steps) > allowance(state, "steps"):
        return hold(state, "steps", f"the plan's {len(plan.steps)} steps exceed the limit"), False
    return state, True


def take_refusal(state: TaskState, event: PlanRefused) -> TaskState:
    """Repair, take the next model, or ask."""
    is_awaited = _is_awaited(state, event.call)
    state = _count(state, event.model, event.usage, replied=True, attempts=event.attempts)
    profile = state.profile
    if not is_awaited or profile is None:
        return state
    faults = tuple(str(fault)[:500] for fault in event.faults[:20])
    refused = state.planning.refused + 1
    state = replan(state, call=state.planning.call + 1, faults=faults, refused=refused, parks=0)
    if refused >= profile.limits.repairs:
        what = faults[0] if faults else "no plan"
        return _next_model(
            state, "plans_refused", f"{refused} plans in a row were refused, the last one because of {what}"
        )
    return enter_planning(state)


def _next_model(state: TaskState, cause: str, reason: str) -> TaskState:
    state = replan(state, route=state.planning.route + 1, refused=0)
    if route_model(state) is not None:
        return enter_planning(state)
    return hold(replan(state, route=state.planning.floor), cause, reason)


def take_unavailable(state: TaskState, event: PlannerUnavailable) -> TaskState:
    """Take the next model; when all are down, park and try the route again later."""
    is_awaited = _is_awaited(state, event.call)
    state = _count(state, event.model, Usage(), replied=False, attempts=event.attempts)
    if not is_awaited:
        return state
    planning = state.planning
    state = replan(
        state, call=planning.call + 1, route=planning.route + 1, floor=planning.route + 1, reason=event.reason
    )
    if route_model(state) is not None:
        return enter_planning(state)
    pause = min(_FIRST_PARK * 2 ** min(planning.parks, _MOST_DOUBLINGS), _LONGEST_PARK)
    since = planning.parked_at if planning.parks else state.now
    state = replan(state, route=0, floor=0, parks=planning.parks + 1, parked_at=since)
    state = change(state, stage=Stage.PARKED, retry_at=state.now + pause)
    return (
        tell_owner(state, f"parked{planning.call}", f"no language model answers: {event.reason}")
        if not planning.parks
        else state
    )


def unpark(state: TaskState) -> TaskState:
    """Plan again when the time has come."""
    if state.stage is Stage.PARKED and state.retry_at is not None and state.retry_at <= state.now:
        return enter_planning(state)
    return state
