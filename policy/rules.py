"""The rules of an agent: which calls are allowed, asked about or denied. Pure: no clock, no ledger, no network."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from core.names import digest, undo_of
from core.ports import Case, Do, Verdict
from core.receipts import Total
from core.record import Input, Json
from policy.expression import ExpressionFaults, Fault, Language, NotEvaluated, compile_into

_VARIABLES = ("args", "inputs", "task", "facts", "origin")
_UNDO = undo_of("")


class TotalRule(Input):
    """A running sum under which a rule holds.

    ``of``: CEL, what a call adds (an integer from 0 up). ``by``: CEL, what is summed up separately; None = all of it
    together. ``per``: over one task, or over all tasks of a day (UTC). ``max``: the most that the sum may be.
    """

    of: str
    by: str | None = None
    per: Literal["task", "day"] = "task"
    max: NonNegativeInt


class Rule(Input):
    """One ``[[policy]]`` table. ``tool`` is a name or a pattern with ``*``; ``when`` is CEL, None = always.

    ``stakes = "high"``: only the strong model may plan calls of these tools, whatever `when` says.
    """

    tool: str = Field(min_length=1)
    when: str | None = None
    do: Do
    approvers: tuple[str, ...] = ()
    quorum: PositiveInt = 1
    reason: str = ""
    total: TotalRule | None = None
    stakes: Literal["high"] | None = None


class Rules:
    """Implements `core.ports.Policy`. Raises ExpressionFaults with all that does not compile, when it is made.

    ``undoes``: the agent has ``[undo]``, which allows ``NAME.undo`` unless a rule is about it.
    """

    def __init__(self, agent: str, rules: Sequence[Rule], *, undoes: bool = False) -> None:
        language = Language(maps=_VARIABLES)
        faults: list[Fault] = []
        self._undoes = undoes
        self._rules = [_Compiled(agent, index, rule, language, faults) for index, rule in enumerate(rules)]
        if faults:
            raise ExpressionFaults(faults)

    def judge(self, case: Case) -> Sequence[Verdict]:
        variables = {name: getattr(case, name) for name in _VARIABLES}
        verdicts: list[Verdict] = []
        for rule in self._rules:
            verdict = rule.judge(case, variables)
            if verdict is not None:
                verdicts.append(verdict)
                if verdict.total is None:
                    return verdicts
        return [*verdicts, self._default(case)]

    def _default(self, case: Case) -> Verdict:
        if self._undoes and case.tool.endswith(_UNDO) and not any(rule.is_about_undo(case) for rule in self._rules):
            return Verdict(do=Do.ALLOW, rule="default", reason="the agent undoes, and no rule is about this undo")
        return _default(case)


def _default(case: Case) -> Verdict:
    if case.writes:
        return Verdict(do=Do.ASK, rule="default", reason="no rule covers this call, and it changes something")
    return Verdict(do=Do.ALLOW, rule="default", reason="it only reads")


class _Compiled:
    """One rule, ready to judge. `index` counts from 0 in the order of the file; people count from 1."""

    def __init__(self, agent: str, index: int, rule: Rule, language: Language, faults: list[Fault]) -> None:
        self._rule = rule
        self._name = f"policy[{index + 1}] {rule.tool}"
        self._when = compile_into(faults, ("policy", index, "when"), rule.when, language.condition)
        self._of = self._by = None
        if (total := rule.total) is not None:
            self._of = compile_into(faults, ("policy", index, "total", "of"), total.of, language.integer)
            self._by = compile_into(faults, ("policy", index, "total", "by"), total.by, language.value)
            # by what it sums and not by its number: a rule added above must not start the day's sum anew
            self._sum = f"{agent}/{digest([rule.tool, rule.when, total.of, total.by, total.per], 12)}"

    def judge(self, case: Case, variables: Mapping[str, Json]) -> Verdict | None:
        """Return the rule's word, or None when it does not match. What cannot be evaluated asks."""
        if not fnmatchcase(case.tool, self._rule.tool):
            return None
        try:
            if self._when is not None and not self._when.holds(variables):
                return None
            return self._verdict(self._rule.do, self._rule.reason, self._total(case, variables))
        except NotEvaluated as error:
            return self._verdict(Do.ASK, f"the rule cannot be evaluated, so a person decides: {error}", None)

    def is_about_undo(self, case: Case) -> bool:
        """Whether the rule means this undo in particular: by its name, or by a pattern for undos (``*.undo``)."""
        return self._rule.tool.endswith(_UNDO) and fnmatchcase(case.tool, self._rule.tool)

    def _verdict(self, do: Do, reason: str, total: Total | None) -> Verdict:
        rule = self._rule
        return Verdict(do=do, rule=self._name, reason=reason, approvers=rule.approvers, quorum=rule.quorum, total=total)

    def _total(self, case: Case, variables: Mapping[str, Json]) -> Total | None:
        if self._rule.total is None or self._of is None:
            return None
        amount = self._of.evaluate(variables)
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
            raise NotEvaluated(f"total.of gives {amount!r:.80}, which is no integer from 0 up")
        return Total(bucket=self._bucket(case, variables), amount=amount, maximum=self._rule.total.max)

    def _bucket(self, case: Case, variables: Mapping[str, Json]) -> str:
        scope = case.day if self._rule.total and self._rule.total.per == "day" else str(case.task.get("id") or "")
        if not scope:
            raise NotEvaluated("the day or the task that the total counts over is not known")
        by = self._by.evaluate(variables) if self._by else None
        try:
            return f"{self._sum}/{scope}/{digest(by, 16)}"
        except Exception as error:
            raise NotEvaluated(f"total.by gives {by!r:.80}, which is no JSON") from error
