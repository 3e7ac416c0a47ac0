"""Planning: what happens when a plan comes, is refused, or does not come; and the bounds before each call."""

from datetime import timedelta

from core import routing
from core.asking import close, hold, hold_over, question
from core.budget import allowance, charge, exhausted
from core.change import change, replan
from core.messages import BudgetExceeded, PlannerUnavailable, PlanProposed, PlanRefused
from core.plan import Plan
from core.recounting import recount
from core.routing import route_model
from core.spending import Usage
from core.task import Stage, TaskState
from core.telling import tell_owner

_FIRST_PARK = timedelta(seconds=5)
_LONGEST_PARK = timedelta(minutes=10)
_SHORTEST_HOLD = timedelta(minutes=1)
_MOST_DOUBLINGS = 10  # without it a long outage would overflow the duration


def enter_planning(state: TaskState) -> TaskState:
    """Plan next, if the bounds allow another call and the task makes progress; else ask the owner."""
    state = routing.with_purpose(state)
    model = route_model(state)
    if state.profile is None:
        return state
    if model is None:
        why = "that can be used" if state.planning.refusing else "at all"
        return hold(state, "no_model", f"the agent {state.spec.agent} has no language model {why}")
    if any(count >= state.profile.limits.same_call for count in state.calls_seen.values()) and state.round:
        return hold(state, "same_call", "the same call brought the same result again")
    if bound := exhausted(state, model, len(recount(state, model.name, state.planning.call).model_dump_json())):
        return hold(state, bound, f"the limit {bound} = {allowance(state, bound):g} leaves no room for the next call")
    return change(replan(state, asked=routing.choice(state, model)), stage=Stage.PLANNING, retry_at=None)


def _count(state: TaskState, model_name: str, usage: Usage, *, replied: bool, attempts: int) -> TaskState:
    """Account for one call, whatever came of it."""
    model, planning = routing.find_model(state, model_name), state.planning
    spent_errors = {} if replied else {**planning.spent_errors}
    if not replied:
        spent_errors[model_name] = spent_errors.get(model_name, 0) + attempts
    if replied or attempts:
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
        return _harder(state, "confidence", f"the plan's confidence is {event.plan.confidence:g}"), False
    if tool := routing.high_stakes(state, event.plan):
        state = replan(state, candidate=None, candidate_terms={})  # nobody's word may carry it out
        return enter_planning(routing.to_strong(state, f"the plan calls {tool}, whose stakes are high")), False
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
    if refused >= routing.refusals_allowed(state):
        what = faults[0] if faults else "no plan"
        return _harder(state, "plans_refused", f"{refused} plans in a row were refused, the last one because of {what}")
    return enter_planning(state)


def _harder(state: TaskState, cause: str, reason: str) -> TaskState:
    """Ask the strong model (or, where none is named, the next one); after it the owner."""
    strong = routing.strong_at(state)
    if strong is not None and strong > state.planning.route:
        return enter_planning(routing.to_strong(state, reason))
    after = routing.to_next(state, reason)
    if strong is None and route_model(after) is not None:
        return enter_planning(after)
    return hold(replan(state, route=state.planning.floor, refused=0), cause, reason)


def take_unavailable(state: TaskState, event: PlannerUnavailable) -> TaskState:
    """Take the next model; when all are down, park and try the route again later."""
    is_awaited = _is_awaited(state, event.call)
    state = _count(state, event.model, Usage(), replied=False, attempts=event.attempts)
    if not is_awaited:
        return state
    planning = state.planning
    is_routed = state.profile is not None and state.profile.routed
    if is_routed and event.definite:
        state = replan(state, refusing=tuple(dict.fromkeys((*planning.refusing, event.model))))
    after = replan(
        routing.to_next(state, f"{event.model} was not to be had: {event.reason}"),
        call=planning.call + 1,
        refused=planning.refused,
        floor=0 if is_routed else planning.route + 1,  # what is down now is spared by its circuit breaker
        reason=event.reason,
    )
    if route_model(after) is not None:
        return enter_planning(after)
    first = routing.to_first(after)
    if route_model(first) is None:  # all gave a definite no: waiting would not help
        refused = f"; the last plan was refused: {planning.faults[0]}" if planning.faults else ""
        return hold(first, "no_model", f"no language model can be used: {event.reason}{refused}")
    return _park(first, event.reason)


def _park(state: TaskState, reason: str) -> TaskState:
    """Wait, longer each time; the state is at the beginning of its route."""
    planning = state.planning
    pause = min(_FIRST_PARK * 2 ** min(planning.parks, _MOST_DOUBLINGS), _LONGEST_PARK)
    since = planning.parked_at if planning.parks else state.now
    state = replan(state, floor=0, parks=planning.parks + 1, parked_at=since)
    state = change(state, stage=Stage.PARKED, retry_at=state.now + pause)
    return (
        tell_owner(state, f"parked{planning.call - 1}", f"no language model answers: {reason}")
        if not planning.parks
        else state
    )


def take_budget(state: TaskState, event: BudgetExceeded) -> TaskState:
    """Ask the owner, who may allow more; where the budget is that of a day, the next day answers too."""
    if not _is_awaited(state, event.call):
        return state
    state = replan(state, call=state.planning.call + 1)
    if event.until is None:
        return hold(state, event.bound, event.reason)
    # a worker whose clock is behind still counts for yesterday: not again and again
    return hold_over(state, event.reason, max(event.until, state.now + _SHORTEST_HOLD))


def unpark(state: TaskState) -> TaskState:
    """Plan again when the time has come."""
    if state.stage is Stage.PARKED and state.retry_at is not None and state.retry_at <= state.now:
        return enter_planning(state)
    for request in state.requests.values():
        if request.resumes_at is not None and request.resumes_at <= state.now:
            return enter_planning(close(state, request, "a new day has begun"))
    return state
