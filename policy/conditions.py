"""The conditions under which a task of an agent is done, over receipts and not over what a model says. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from core.record import Json
from policy.expression import Expression, ExpressionFaults, Fault, Language, NotEvaluated, compile_into

_NAMED = re.compile(r"""(?<![.\w])(?:\w+|effects\[\d+\])\.tool\s*==\s*(["'])(\w+)\1""")
"""``e.tool == "NAME"``, or ``effects[0].tool``; not ``e.args.tool``, which is no name of a tool."""


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

    def misplaced(self, read_tools: Collection[str]) -> Iterator[str]:
        """Say which conditions look for a read where only writes are. Sound, not complete: one that mentions `reads`
        or says it in another way is passed over.
        """
        for condition in self._require:
            if re.search(r"\breads\b", condition.text):
                continue
            named = dict.fromkeys(name for _, name in _NAMED.findall(condition.text) if name in read_tools)
            for name in named:
                yield f"`{condition.text}`: {name} is a read, and `effects` holds writes only; look for it in `reads`"


def _problem(condition: Expression, variables: Mapping[str, Json]) -> str | None:
    try:
        return None if condition.holds(variables) else f"`{condition.text}` does not hold"
    except NotEvaluated as error:
        return f"`{condition.text}` cannot be evaluated: {error}"
