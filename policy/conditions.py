"""The conditions under which a task of an agent is done, over receipts and not over what a model says. Pure."""

from collections.abc import Mapping, Sequence

from core.record import Json
from policy.expression import Expression, ExpressionFaults, Fault, Language, NotEvaluated, compile_into


class Conditions:
    """Implements `core.ports.Done`. Raises ExpressionFaults with all that does not compile, when it is made."""

    def __init__(self, require: Sequence[str]) -> None:
        language = Language(maps=("task", "inputs"), lists=("effects", "reads"))
        faults: list[Fault] = []
        compiled = [
            compile_into(faults, ("done", "require", index), text, language.condition)
            for index, text in enumerate(require)
        ]
        if faults:
            raise ExpressionFaults(faults)
        self._require = [condition for condition in compiled if condition is not None]

    def unmet(
        self,
        effects: Sequence[Mapping[str, Json]],
        reads: Sequence[Mapping[str, Json]],
        task: Mapping[str, Json],
        inputs: Mapping[str, Json],
    ) -> list[str]:
        variables = {"effects": list(effects), "reads": list(reads), "task": task, "inputs": inputs}
        return [problem for condition in self._require if (problem := _problem(condition, variables))]


def _problem(condition: Expression, variables: Mapping[str, Json]) -> str | None:
    try:
        return None if condition.holds(variables) else f"`{condition.text}` does not hold"
    except NotEvaluated as error:
        return f"`{condition.text}` cannot be evaluated: {error}"
