"""Whether the answers of people allow a call: by whom, for exactly what, and how many. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.names import as_person
from core.ports import Verdict
from core.receipts import Approval


@dataclass(frozen=True, slots=True)
class Weighed:
    """`fit`: the approvals that count, one per person; `note`: why the others do not, in words for people."""

    fit: tuple[Approval, ...]
    note: str
    enough: bool


@dataclass(frozen=True, slots=True)
class Bench:
    """Who may answer for one verdict. `people` maps a role or a name to the names that hold it now.

    Roles are resolved when the call is at the door, not when the answer was given: somebody who left the role since
    does not count any more.
    """

    verdict: Verdict
    people: Mapping[str, Sequence[str]]
    requester: str
    trust: str

    @property
    def may_answer(self) -> tuple[str, ...]:
        """The names that may answer; a role or a name that nobody holds stands for itself. Never the requester."""
        names = [name for wanted in self.verdict.approvers for name in (self.people.get(wanted) or (wanted,))]
        return tuple(dict.fromkeys(name for name in names if not self._requested(name)))

    @property
    def can_be_given(self) -> bool:
        """Whether enough people are left who may approve."""
        return not self.verdict.approvers or len(self.may_answer) >= max(self.verdict.quorum, 1)

    def weigh(self, approvals: Sequence[Approval], digest: str) -> Weighed:
        """Sort the approvals into those that fit and those that do not."""
        fit: dict[str, Approval] = {}
        notes: list[str] = []
        for approval in approvals:
            if problem := self._problem(approval, digest):
                notes.append(problem)
            else:
                fit.setdefault(as_person(approval.by), approval)
        return Weighed(tuple(fit.values()), "; ".join(dict.fromkeys(notes)), len(fit) >= max(self.verdict.quorum, 1))

    def _problem(self, approval: Approval, digest: str) -> str:
        who = f"the approval by {approval.by[:100]}" if approval.by else "an approval without a name"
        if approval.digest != digest:
            return f"{who} was given for something else: the arguments or the tool have changed since"
        if self.trust == "signed" and approval.trust != "signed":
            return f"{who} is not signed"
        if not approval.by:
            anybody = not self.verdict.approvers and self.verdict.quorum <= 1
            return "" if anybody else f"{who} does not count here: say who you are"
        if self._requested(approval.by):
            return f"{who} does not count: whoever asked for a task cannot approve it"
        if self.verdict.approvers and as_person(approval.by) not in {as_person(name) for name in self.may_answer}:
            return f"{who} does not count: it takes {' or '.join(self.verdict.approvers)}"
        return ""

    def _requested(self, name: str) -> bool:
        return bool(self.requester) and as_person(name) == as_person(self.requester)
