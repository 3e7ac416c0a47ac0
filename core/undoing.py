"""Taking back what a task did: the effects that stand, latest first, one after the other, each an effect of its own.

It begins when nothing is in flight or in doubt, and waits while an undo is. One that fails has an owner, and does not
stop the others.
"""

from core import asking, names
from core.answers import Answer
from core.change import all_steps, change, in_phase, put
from core.messages import EffectsListed, ListEffects, ToolRefused, ToolUnavailable, Undoable
from core.plan import PlannedStep
from core.rounds import key_of, revise
from core.task import Phase, Request, Stage, Step, TaskState, Undoing

_MOST_REQUESTS = 20
"""Undos that failed and wait for a word; beyond that the next one waits too, so that the state stays small."""


def is_wanted(state: TaskState) -> bool:
    """Whether the task ends in a way at which its agent undoes."""
    return state.profile is not None and state.ending is not None and state.ending.status in state.profile.undo_on


def begin(state: TaskState) -> TaskState:
    """Put away what was planned, and ask for what stands."""
    past = {**state.past, **state.steps}
    state = change(state, past=past, steps={}, stage=Stage.ACTING, retry_at=None)
    return change(state, undoing=Undoing(), listings=state.listings + 1)


def advance(state: TaskState) -> TaskState:
    """Take back the next effect, if nothing stands in its way; end when there is none."""
    if state.undoing is None or state.paused or in_phase(state, Phase.CALLING, Phase.ASKING, Phase.DOUBTED):
        return state
    if ready := in_phase(state, Phase.PLANNED):
        return put(state, ready[0], phase=Phase.CALLING)
    if state.undoing.waiting:
        return _next(state, state.undoing) if len(state.requests) < _MOST_REQUESTS else state
    if state.requests or state.ending is None or not (state.undoing.is_listed or state.undoing.fault):
        return state
    return change(state, final=state.ending.status, stage=Stage.ENDED)


def _next(state: TaskState, undoing: Undoing) -> TaskState:
    effect, *rest = undoing.waiting
    intent, tool = state.next_intent, names.undo_of(effect.tool)
    step = Step(
        id=_id(state, effect),
        planned=PlannedStep(id="undo", tool=tool, why=f"takes back {effect.step}"),
        terms=effect.terms,
        intent=intent,
        key=key_of(state, intent, 1, tool),
        phase=Phase.CALLING,
        undoes=effect.key,
    )
    state = change(state, undoing=undoing.model_copy(update={"waiting": tuple(rest)}), next_intent=intent + 1)
    return put(state, step)


def _id(state: TaskState, effect: Undoable) -> str:
    """Name the undo of an effect; after a reset two effects may be called the same."""
    name = f"undo.{effect.step}"
    return name if state.step(name) is None else f"{name}.{state.next_intent}"


def next_list(state: TaskState) -> ListEffects | None:
    """Say which part of the list of effects is awaited now."""
    undoing = state.undoing
    if undoing is None or undoing.waiting or undoing.is_listed or undoing.fault:
        return None
    if any(step.phase.is_open for step in state.steps.values()):
        return None
    return ListEffects(below=undoing.below, entry=state.listings)


def take_list(state: TaskState, event: EffectsListed) -> TaskState:
    """Take in a part of the list; a list that does not get on is taken as all there is."""
    undoing = state.undoing
    if undoing is None or next_list(state) is None:
        return state
    known = {step.undoes for step in all_steps(state) if step.id in state.steps or step.phase is Phase.SUCCEEDED}
    gets_on = event.below is not None and (undoing.below is None or event.below < undoing.below)
    waiting = tuple({one.key: one for one in event.effects if one.key not in known}.values())
    fields = {"below": event.below, "is_listed": not gets_on, "waiting": waiting}
    return _put_away_done(change(state, undoing=undoing.model_copy(update=fields)))


def _put_away_done(state: TaskState) -> TaskState:
    done = {name: step for name, step in state.steps.items() if step.phase is Phase.SUCCEEDED}
    rest = {name: step for name, step in state.steps.items() if name not in done}
    return change(state, past={**state.past, **done}, steps=rest)


def take_no_list(state: TaskState, command: str, reason: str) -> TaskState:
    """Ask the owner, since what stands cannot be listed."""
    awaited = next_list(state)
    if state.undoing is None or awaited is None or awaited.id != command:
        return state
    fault = f"what the task did cannot be listed, so it is not undone: {reason}"[:2000]
    return _ask(change(state, undoing=state.undoing.model_copy(update={"fault": fault})), fault)


def take_failure(state: TaskState, step: Step, event: ToolRefused | ToolUnavailable) -> TaskState:
    """Ask the owner about an undo that failed for certain; one that was written off had its person's word."""
    if state.undoing is None or (isinstance(event, ToolRefused) and event.outcome == "unknown"):
        return state
    why = event.reason if isinstance(event, ToolUnavailable) else event.message or event.code
    return _ask(state, f"{step.planned.why} failed, and it stays done: {why}"[:2000], step)


def _ask(state: TaskState, reason: str, step: Step | None = None) -> TaskState:
    return asking.stuck(state, "undo", reason, step, choices=("retry", "skip", "end"))


def decide(state: TaskState, request: Request, answer: Answer) -> TaskState:
    """Apply the owner's word about an undo that failed (its request is closed)."""
    who = answer.by or "somebody who gave no name"
    match answer.choice:
        case "retry":
            return _retry(state, state.steps.get(request.step))
        case "end":
            return _stop(state, f"{who} ended the undoing")
    if step := state.steps.get(request.step):
        return put(state, step, phase=Phase.SKIPPED, message=f"left as it is by {who}")
    return _stop(state, f"{who} decided to leave it")


def _retry(state: TaskState, step: Step | None) -> TaskState:
    if step is not None:
        return revise(state, step, message="")
    undoing = state.undoing or Undoing()
    return change(state, undoing=undoing.model_copy(update={"fault": ""}), listings=state.listings + 1)


def _stop(state: TaskState, why: str) -> TaskState:
    """Leave all that is not under way as it is."""
    undoing = state.undoing or Undoing()
    steps = dict(state.steps)
    for step in in_phase(state, Phase.PLANNED, Phase.ASKING):
        steps[step.id] = step.model_copy(update={"phase": Phase.DROPPED, "message": why})
    left = {"waiting": (), "is_listed": True, "fault": undoing.fault or why}
    return asking.withdraw(change(state, steps=steps, undoing=undoing.model_copy(update=left)), f"withdrawn: {why}")
