"""Check a planner's document against the contracts of the tools, before anything runs. Every fault at once.

Null is read as "not given" where a field may be left out: models under a strict schema have to write every field.

Accepted here and checked when resolved: optional values, unions, array indexes and results without a schema.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from jsonschema import Draft202012Validator
from pydantic import ValidationError

from core.contract import Contract
from core.names import undo_of
from core.plan import Fault, Plan, PlannedStep
from core.profile import Limits
from core.record import Json, as_given
from core.references import INPUTS, Malformed, Reference, escape, find
from core.schemas import can_hold, part_for, types_of
from core.undo_order import misplaced
from core.values import no_controls, unfit_values

MAX_BYTES = 512 * 1024
_TEXT = frozenset({"string", "integer", "boolean"})
_STRUCTURAL = frozenset(
    {
        "required",
        "additionalProperties",
        "unevaluatedProperties",
        "minProperties",
        "maxProperties",
        "minItems",
        "maxItems",
    }
)


def check_plan(
    document: Json,
    catalogue: Mapping[str, Contract],
    earlier: Mapping[str, str],
    limits: Limits,
    *,
    undoes: bool = False,
) -> Plan | list[Fault]:
    """Return the plan, or what is wrong with it.

    `catalogue`: contracts by tool name; `earlier`: steps of earlier rounds that have a result (r1.s2) and their tools.
    `undoes`: the agent takes back what it did when a task ends badly, so what cannot be undone comes last.
    """
    if faults := [
        Fault(where=where, problem=problem) for where, problem in islice(unfit_values(document, no_controls), 50)
    ]:
        return faults
    try:
        document = _plan_as_given(document)
        text = json.dumps(document)
        plan = Plan.model_validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        return [_shape_fault(one["loc"], one["msg"], document) for one in error.errors()[:50]]
    if len(text) > MAX_BYTES:
        return [Fault(problem=f"the plan has {len(text)} bytes", expected=f"at most {MAX_BYTES}")]
    faults = list(_Checker(plan, catalogue, earlier, limits).faults())
    if undoes and not faults:
        faults = list(misplaced(plan, catalogue))
    return faults[:50] or plan


def _plan_as_given(document: Json) -> Json:
    plan = as_given(document, Plan)
    if isinstance(plan, dict) and isinstance(plan.get("steps"), list):
        return plan | {"steps": [as_given(step, PlannedStep) for step in plan["steps"]]}
    return plan


def _shape_fault(loc: tuple[str | int, ...], message: str, document: Json) -> Fault:
    step = ""
    if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int):
        named = document["steps"][loc[1]]
        step = str(named.get("id", f"steps[{loc[1]}]"))[:40] if isinstance(named, dict) else f"steps[{loc[1]}]"
        loc = loc[2:]
    return Fault(step=step, where="".join(f"/{part}" for part in loc)[:200], problem=message)


class _Checker:
    """One check of one plan; `faults` yields everything."""

    def __init__(
        self, plan: Plan, catalogue: Mapping[str, Contract], earlier: Mapping[str, str], limits: Limits
    ) -> None:
        self.plan, self.catalogue, self.earlier, self.limits = plan, catalogue, earlier, limits
        self.tool_of = {step.id: step.tool for step in plan.steps}
        self.place = {step.id: index for index, step in enumerate(plan.steps)}

    def faults(self) -> Iterator[Fault]:
        yield from self._form()
        yield from self._ids()
        yield from self._cycles()
        for step in self.plan.steps:
            yield from self._step(step)
        if self.plan.finish is not None:
            yield from self._answer(self.plan.finish.answer)

    def _form(self) -> Iterator[Fault]:
        plan = self.plan
        if plan.ask is not None and (plan.steps or plan.finish):
            yield Fault(where="/ask", problem="a plan that asks has no steps and no finish")
        if plan.ask is not None and not plan.ask.strip():
            yield Fault(where="/ask", problem="the question is empty")
        if plan.ask is None and not plan.steps and plan.finish is None:
            yield Fault(problem="the plan is empty", expected="steps (with or without finish), or finish, or ask")
        if len(plan.steps) > self.limits.steps_per_plan:
            limit = self.limits.steps_per_plan
            yield Fault(where="/steps", problem=f"{len(plan.steps)} steps", expected=f"at most {limit} in one plan")

    def _ids(self) -> Iterator[Fault]:
        seen: set[str] = set()
        for step in self.plan.steps:
            if step.id in seen:
                yield Fault(step=step.id, where="/id", problem="this id is used twice")
            if step.id == INPUTS:
                yield Fault(step=step.id, where="/id", problem="this id is reserved for the task's inputs")
            seen.add(step.id)

    def _cycles(self) -> Iterator[Fault]:
        graph = {step.id: {name for name in self._uses(step) if name in self.place} for step in self.plan.steps}
        free = {name for name, uses in graph.items() if not uses}
        while free:
            graph = {name: uses - free for name, uses in graph.items() if name not in free}
            free = {name for name, uses in graph.items() if not uses}
        if graph:
            yield Fault(problem=f"these steps wait for each other: {', '.join(sorted(graph)[:10])}")

    def _uses(self, step: PlannedStep) -> set[str]:
        return {found.step for found in find(step.args) if isinstance(found, Reference)} | {
            *step.after,
            step.repeat_of or "",
        }

    def _step(self, step: PlannedStep) -> Iterator[Fault]:
        for name in step.after:
            yield from self._known(step.id, "/after", name)
        if step.repeat_of is not None:
            yield from self._known(step.id, "/repeat_of", step.repeat_of)
        contract = self.catalogue.get(step.tool)
        if contract is None:
            yield self._no_tool(step)
            return
        references = list(find(step.args))
        yield from _shape_of_args(step, contract, {reference.at for reference in references})
        for reference in references:
            yield from self._reference(step, contract, reference)

    def _no_tool(self, step: PlannedStep) -> Fault:
        known = ", ".join(sorted(self.catalogue)[:40])
        problem = f"no tool {step.tool[:80]!r}"
        if any(step.tool == undo_of(name) for name in self.catalogue):
            problem = f"{step.tool[:80]} is not for plans: what was done is undone when the task ends, by itself"
        return Fault(step=step.id, where="/tool", problem=problem, expected=f"one of: {known}")

    def _known(self, step: str, where: str, name: str) -> Iterator[Fault]:
        if name in self.earlier or (name == INPUTS and where.startswith("/args")):
            return
        if name not in self.place:
            yield Fault(step=step, where=where, problem=f"no step {name[:80]!r}")
        elif self.place[name] >= self.place[step]:
            yield Fault(step=step, where=where, problem=f"{name} does not come before {step}")

    def _reference(self, step: PlannedStep, contract: Contract, reference: Reference | Malformed) -> Iterator[Fault]:
        where = f"/args{reference.at}"
        if isinstance(reference, Malformed):
            yield Fault(step=step.id, where=where, problem=reference.problem)
            return
        if not reference.at:
            yield Fault(
                step=step.id, where="/args", problem="a reference in place of all arguments", expected="one each"
            )
            return
        unknown = list(self._known(step.id, where, reference.step))
        yield from unknown
        if unknown or reference.step == INPUTS:
            return
        goal = part_for(contract.args_schema, reference.at)
        wanted = _TEXT if reference.inside else types_of(goal, contract.args_schema)
        yield from self._source(step.id, where, reference, wanted)
        if reference.inside and not can_hold(types_of(goal, contract.args_schema), frozenset({"string"})):
            yield Fault(step=step.id, where=where, problem="a text with {{...}} goes into a place for another type")

    def _source(self, step: str, where: str, reference: Reference, wanted: frozenset[str] | None) -> Iterator[Fault]:
        tool = self.tool_of.get(reference.step) or self.earlier.get(reference.step, "")
        contract = self.catalogue.get(tool)
        if contract is None or contract.result_schema is None:
            return
        found = part_for(contract.result_schema, reference.path)
        if found is False:
            yield Fault(
                step=step, where=where, problem=f"the result of {reference.step} ({tool}) has no {reference.path}"
            )
            return
        given = types_of(found, contract.result_schema)
        if not can_hold(wanted, given):
            yield Fault(
                step=step,
                where=where,
                problem=f"{reference.step}{reference.path} is {' or '.join(sorted(given or ()))}",
                expected=" or ".join(sorted(wanted or ())),
            )

    def _answer(self, answer: str) -> Iterator[Fault]:
        for reference in find(answer):
            if isinstance(reference, Malformed):
                yield Fault(where="/finish/answer", problem=reference.problem)
            elif reference.step == INPUTS:
                continue
            elif reference.step not in self.place and reference.step not in self.earlier:
                yield Fault(where="/finish/answer", problem=f"no step {reference.step!r} in this plan or before it")
            else:
                yield from self._source("", "/finish/answer", reference, _TEXT)


def _shape_of_args(step: PlannedStep, contract: Contract, places: set[str]) -> Iterator[Fault]:
    """Check what is literal; what stands at a reference, or above one, is judged when it is resolved."""
    for error in Draft202012Validator(contract.args_schema).iter_errors(step.args):
        at = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        covers_reference = any(
            place == at or place.startswith(at + "/") or at.startswith(place + "/") for place in places
        )
        if covers_reference and (error.validator not in _STRUCTURAL or at in places):
            continue
        yield Fault(step=step.id, where=f"/args{at}", problem=error.message[:300])
