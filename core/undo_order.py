"""The order of a plan that may have to be undone: what cannot be taken back comes after all that can."""

from collections.abc import Iterator, Mapping

from core.contract import Contract
from core.plan import Fault, Plan, PlannedStep
from core.references import Reference, find

_MOST_NAMED = 10


def misplaced(plan: Plan, catalogue: Mapping[str, Contract]) -> Iterator[Fault]:
    """Yield a fault for each write without an undo that might run before one with, unless that one needs it.

    The plan is sound otherwise: steps refer only to those before them.
    """
    before = _all_before(plan)
    writes = [step for step in plan.steps if catalogue[step.tool].writes]
    can_be_undone = [step.id for step in writes if catalogue[step.tool].has_undo]
    for step in writes:
        if catalogue[step.tool].has_undo:
            continue
        loose = [name for name in can_be_undone if name not in before[step.id] and step.id not in before[name]]
        if loose:
            named = ", ".join(loose[:_MOST_NAMED])
            problem = f"{step.tool} cannot be undone, and may run before {named}, which can"
            yield Fault(step=step.id, where="/after", problem=problem, expected=f"listed behind and after {named}")


def _all_before(plan: Plan) -> dict[str, set[str]]:
    """Return what surely ends before each step begins."""
    before: dict[str, set[str]] = {}
    for step in plan.steps:
        direct = _uses(step) & before.keys()
        before[step.id] = direct.union(*(before[name] for name in direct))
    return before


def _uses(step: PlannedStep) -> set[str]:
    found = {one.step for one in find(step.args) if isinstance(one, Reference)}
    return found | {*step.after, step.repeat_of or ""}
