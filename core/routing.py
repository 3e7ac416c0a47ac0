"""Which language model is asked, and why. Pure: the same state makes the same choice.

::

    purpose     plan        nothing is planned yet, or the wish is new
                replan      something failed, or the outcome does not hold
                conclude    every step succeeded, and the planner wanted to see the results
    first       the first model of the purpose's route
    next        when that one is not to be had; after the last one the task parks, and begins anew; one that gave a
                definite no (bad key, unknown model) is passed over, and when all did, the owner is asked
    strong      when a plan came with little confidence, when two were refused, or when one calls a tool of high stakes;
                then nothing weaker is asked until a plan is accepted

Models that stand behind the strong one in a route stand in for it when it is not to be had. Without a strong one that
is named, the next model of the route takes its place (for high stakes: the last one).
"""

from enum import StrEnum

from core.change import in_phase, replan
from core.plan import Plan
from core.profile import Model
from core.task import Phase, TaskState

_FAILED = (Phase.REFUSED, Phase.UNAVAILABLE, Phase.DROPPED, Phase.SKIPPED)
_REFUSALS = 2
"""Plans in a row that were refused, until the strong model is asked."""
_MOST_TEXT = 200


class Purpose(StrEnum):
    """What a planning call is for."""

    PLAN = "plan"
    REPLAN = "replan"
    CONCLUDE = "conclude"


def purpose_of(state: TaskState) -> Purpose:
    """Say what the next planning call is for."""
    if not state.plan_digest:
        return Purpose.PLAN
    if in_phase(state, *_FAILED) or state.finish is not None:
        return Purpose.REPLAN
    return Purpose.CONCLUDE


def route_for(state: TaskState, purpose: str) -> tuple[Model, ...]:
    """Return the models for a purpose, in the order in which they are asked."""
    return (state.profile.routes.get(purpose) or state.profile.route) if state.profile else ()


def route(state: TaskState) -> tuple[Model, ...]:
    """Return the models for the calls under way."""
    return route_for(state, state.planning.purpose)


def route_model(state: TaskState) -> Model | None:
    """Return the model in use; None past the end of the route."""
    models = route(state)
    return models[state.planning.route] if state.planning.route < len(models) else None


def find_model(state: TaskState, name: str) -> Model | None:
    """Return a model of any route by its name."""
    if state.profile is None:
        return None
    models = (*state.profile.route, *(one for models in state.profile.routes.values() for one in models))
    return next((one for one in models if one.name == name), None)


def with_purpose(state: TaskState) -> TaskState:
    """Note what the next call is for; where another purpose has another route, begin that at its first model."""
    purpose = purpose_of(state).value
    if purpose != state.planning.purpose:
        is_same = route_for(state, purpose) == route(state)
        state = replan(state, purpose=purpose)
        state = state if is_same else replan(state, route=0, floor=0, refused=0, escalated=False, because="")
    return _at(state, state.planning.route)


def _at(state: TaskState, place: int) -> TaskState:
    """Take the first model from a place on that gave no definite no; past the end of the route when there is none."""
    return replan(state, route=_usable_from(state, place))


def _usable_from(state: TaskState, place: int) -> int:
    models = route(state)
    usable = (at for at in range(place, len(models)) if models[at].name not in state.planning.refusing)
    return next(usable, max(place, len(models)))


def strong_at(state: TaskState) -> int | None:
    """Return the place of the strong model in the route; None where none is named."""
    strong = state.profile.strong if state.profile else ""
    return next((place for place, one in enumerate(route(state)) if one.name == strong), None) if strong else None


def refusals_allowed(state: TaskState) -> int:
    """Return how many plans in a row may be refused before another model is asked."""
    repairs = state.profile.limits.repairs if state.profile else 1
    strong = strong_at(state)
    return repairs if strong is None or strong <= state.planning.route else min(repairs, _REFUSALS)


def high_stakes(state: TaskState, plan: Plan) -> str:
    """Name a tool of the plan that only the strong model may plan, when another one planned it ("" = there is none)."""
    if state.profile is None or state.planning.route >= _strong_or_last(state):
        return ""
    return next((step.tool for step in plan.steps if step.tool in state.profile.high_stakes), "")


def _strong_or_last(state: TaskState) -> int:
    strong = strong_at(state)
    return len(route(state)) - 1 if strong is None else strong


def to_strong(state: TaskState, because: str) -> TaskState:
    """Ask the strong model from now on, until a plan is accepted."""
    return replan(state, route=_strong_or_last(state), refused=0, escalated=True, because=because[:_MOST_TEXT])


def to_next(state: TaskState, because: str) -> TaskState:
    """Ask the next model of the route, which may not be there."""
    return _at(replan(state, refused=0, because=because[:_MOST_TEXT]), state.planning.route + 1)


def to_first(state: TaskState) -> TaskState:
    """Begin the route anew, with the strong model if no other will do; past its end when all gave a definite no."""
    if state.planning.escalated:
        return _at(replan(state, floor=0), _strong_or_last(state))
    return _at(replan(state, floor=0, because=""), 0)


def has_next(state: TaskState) -> bool:
    """Whether another model stands behind the one in use."""
    return _usable_from(state, state.planning.route + 1) < len(route(state))


def choice(state: TaskState, model: Model) -> str:
    """Say who is asked, for what, and why."""
    because = state.planning.because or "it is the first of the route"
    return f"{model.name} to {state.planning.purpose}, because {because}"
