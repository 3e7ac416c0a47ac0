"""The checker: joins the truth with every book, and counts sins. It shares no code with the runtime.

::

    duplicate      applied more often than once, by memo: the business id, not the key
    lost           should have happened once, did not, and nobody was asked
    false receipt  somebody says "succeeded" (the ledger, a task's result) of what did not happen
    phantom        it happened, and the ledger says that it did not, or knows nothing of it
    wrong payload  account or amount are not those of the truth, or not those that were approved
    unauthorised   it happened though it was denied or rejected, or before anybody with the right said yes to it;
                   or one yes was used for two calls
    stuck          a task has not ended and waits for nobody, or cannot take in an answer
    wrong end      a task ended otherwise than the truth allows
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from trials.storm.evidence import Application, Claim, Evidence, Notice, Row, Said
from trials.storm.truth import EffectTruth, Fate, Kind, TaskTruth, Truth, undo_memo

NAMED_WITHIN_S = 60.0
"""How soon after a send somebody must have been named for a doubt that only a person can settle."""

_OUTCOME = "(outcome "  # in the title of a notice about a doubt
_CLOCKS_APART_S = 0.05  # the bank's clock and the people's are one machine's, but rounded


class Sort(StrEnum):
    """The sorts of sins."""

    DUPLICATE = "duplicate"
    LOST = "lost"
    FALSE_RECEIPT = "false receipt"
    PHANTOM = "phantom"
    WRONG_PAYLOAD = "wrong payload"
    UNAUTHORISED = "unauthorised"
    STUCK = "stuck"
    WRONG_END = "wrong end"


@dataclass(frozen=True, slots=True)
class Sin:
    """One thing that must not be."""

    sort: Sort
    task_id: str
    memo: str
    what: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """An effect whose outcome nobody knows when all is over. `named`: whom the task or a notice names for it."""

    kind: str
    task_id: str
    memo: str
    key: str
    state: str
    named: str


@dataclass(frozen=True)
class Judgement:
    """What the checker found. ``delays``: seconds from a send that only a person could settle to the notice of it."""

    sins: Sequence[Sin] = ()
    doubts: Sequence[Doubt] = ()
    delays: Sequence[float] = ()
    applications: int = 0
    by_sort: Mapping[Sort, int] = field(default_factory=dict)

    def count(self, sort: Sort) -> int:
        """How many sins of a sort there are."""
        return self.by_sort.get(sort, 0)


def judge(truth: Truth, evidence: Evidence) -> Judgement:
    """Hold the evidence against the truth."""
    bench = Bench(truth, evidence)
    sins = tuple(bench.sins())
    return Judgement(
        sins=sins,
        doubts=tuple(bench.doubts()),
        delays=tuple(bench.delays()),
        applications=len(evidence.applications),
        by_sort=Counter(sin.sort for sin in sins),
    )


class Bench:
    """The joins: everything by memo, by key and by task."""

    def __init__(self, truth: Truth, evidence: Evidence) -> None:
        self.truth, self.evidence = truth, evidence

    # ------------------------------------------------------------------------------------------------- the joins

    def _effects(self) -> Iterator[tuple[TaskTruth, EffectTruth]]:
        for task in self.truth.tasks:
            for effect in task.effects:
                yield task, effect

    @cached_property
    def known(self) -> Mapping[str, tuple[TaskTruth, EffectTruth]]:
        """What the truth says, by memo."""
        return {effect.memo: (task, effect) for task, effect in self._effects()}

    @cached_property
    def applied(self) -> Mapping[str, Sequence[Application]]:
        """What happened, by memo."""
        found: dict[str, list[Application]] = defaultdict(list)
        for one in self.evidence.applications:
            found[one.memo].append(one)
        return found

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """What the ledger says, by memo."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.evidence.rows:
            found[self.memo(row)].append(row)
        return found

    @cached_property
    def by_key(self) -> Mapping[str, Row]:
        """What the ledger says, by key."""
        return {row.key: row for row in self.evidence.rows}

    @cached_property
    def by_task(self) -> Mapping[str, Sequence[Row]]:
        """What the ledger says, by task."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.evidence.rows:
            found[row.task_id].append(row)
        return found

    @cached_property
    def said(self) -> Mapping[str, Sequence[Said]]:
        """What people said, by memo."""
        found: dict[str, list[Said]] = defaultdict(list)
        for one in self.evidence.said:
            found[one.memo].append(one)
        return found

    @cached_property
    def notices(self) -> Mapping[str, Sequence[Notice]]:
        """Messages to people, by task."""
        found: dict[str, list[Notice]] = defaultdict(list)
        for one in self.evidence.notices:
            found[one.task_id].append(one)
        return found

    def memo(self, row: Row) -> str:
        """Return the memo under which the bank would know a row: an undo has one of its own."""
        return undo_memo(row.memo) if row.is_undo else row.memo

    # -------------------------------------------------------------------------------------------------- the sins

    def sins(self) -> Iterator[Sin]:
        """Yield everything that must not be."""
        yield from self._duplicates()
        yield from self._lost()
        yield from self._false_receipts()
        yield from self._phantoms()
        yield from self._wrong_payloads()
        yield from self._unauthorised()
        yield from self._used_twice()
        yield from self._ends()

    def _sin(self, sort: Sort, memo: str, what: str, task_id: str = "") -> Sin:
        known = self.known.get(memo)
        return Sin(sort, task_id or (known[0].task_id if known else ""), memo, what)

    def _duplicates(self) -> Iterator[Sin]:
        for memo, found in self.applied.items():
            if len(found) > 1:
                keys = ", ".join(f"{one.key or 'no key'} at {one.at:.3f}" for one in found)
                yield self._sin(Sort.DUPLICATE, memo, f"applied {len(found)} times: {keys}")

    def _lost(self) -> Iterator[Sin]:
        for task, effect in self._effects():
            if self.applied.get(effect.memo) or not self._is_due(effect):
                continue
            end = self.evidence.ends.get(task.task_id)
            if end is None or end.is_running:
                continue  # nothing is lost yet: whether it is stuck is another question
            if end.status == "COMPLETED":
                yield self._sin(Sort.LOST, effect.memo, "the task is completed, and it never happened")
            elif task.task_id not in self.evidence.asked:
                yield self._sin(Sort.LOST, effect.memo, f"never happened; the task is {end.status}, nobody was asked")

    def _is_due(self, effect: EffectTruth) -> bool:
        match effect.fate:
            case Fate.ONCE:
                return True
            case Fate.ONCE_IF_APPROVED:
                return any(self._is_right_yes(effect, one) for one in self.said.get(effect.memo, ()))
        return False

    def _false_receipts(self) -> Iterator[Sin]:
        for row in self.evidence.rows:
            if row.state == "SUCCEEDED" and not self.applied.get(self.memo(row)):
                what = f"the ledger says SUCCEEDED of {row.key} by {row.evidence}"
                yield self._sin(Sort.FALSE_RECEIPT, self.memo(row), what, row.task_id)
        for end in self.evidence.ends.values():
            for claim in end.claims:
                memos = [self.memo(row) for row in self._claimed(end.task_id, claim)]
                memo = memos[0] if memos else ""
                if claim.outcome == "succeeded" and not any(self.applied.get(one) for one in memos):
                    what = f"the task's result says {claim.key} succeeded"
                    yield self._sin(Sort.FALSE_RECEIPT, memo, what, end.task_id)

    def _claimed(self, task_id: str, claim: Claim) -> Sequence[Row]:
        """Find what a claim may rest on: its own row; or, of what was done already, those of its tool in the task."""
        if not claim.already:
            return [row for row in [self.by_key.get(claim.key)] if row is not None]
        rows = self.by_task.get(task_id, ())
        return [row for row in rows if row.tool == claim.tool and row.state == "SUCCEEDED"]

    def _phantoms(self) -> Iterator[Sin]:
        for memo, found in self.applied.items():
            rows = self.rows.get(memo, ())
            if not any(row.is_known_possible for row in rows):
                states = ", ".join(row.state for row in rows) or "nothing"
                yield self._sin(Sort.PHANTOM, memo, f"it happened, and the ledger says {states}")
                continue
            for one in found:
                row = self.by_key.get(one.key) if one.key else None
                if one.key and (row is None or not row.is_known_possible):
                    says = row.state if row else "nothing"
                    yield self._sin(Sort.PHANTOM, memo, f"it happened under {one.key}, of which the ledger says {says}")

    def _wrong_payloads(self) -> Iterator[Sin]:
        for memo, found in self.applied.items():
            for one in found:
                if memo not in self.known:
                    yield self._sin(Sort.WRONG_PAYLOAD, memo, f"nobody wanted this: {one}")
                elif problem := self._payload_problem(self.known[memo][1], one):
                    yield self._sin(Sort.WRONG_PAYLOAD, memo, problem)

    def _payload_problem(self, effect: EffectTruth, one: Application) -> str:
        if one.account != effect.account:
            return f"went to {one.account}, not to {effect.account}"
        if one.kind != effect.kind.value:
            return f"was made as {one.kind}, not as {effect.kind.value}"
        if one.amount_cents != effect.amount_cents:
            return f"{one.amount_cents} cents, not {effect.amount_cents}"
        yes = [each for each in self.said.get(effect.memo, ()) if each.allows and each.by in effect.needs]
        if yes and not any(_is_for(each, one) for each in yes):
            return f"{one.amount_cents} cents to {one.account}, and nobody approved exactly this"
        return ""

    def _unauthorised(self) -> Iterator[Sin]:
        for task, effect in self._effects():
            found = self.applied.get(effect.memo, ())
            if not found:
                continue
            first = min(one.at for one in found)
            if effect.fate is Fate.NEVER:
                why = effect.why.value if effect.why else "never"
                yield self._sin(Sort.UNAUTHORISED, effect.memo, f"it happened, and must not: {why}")
            elif effect.needs and not self._is_allowed(effect, first):
                needs = " or ".join(effect.needs)
                yield self._sin(Sort.UNAUTHORISED, effect.memo, f"none of {needs} said yes before it", task.task_id)

    def _is_allowed(self, effect: EffectTruth, at: float) -> bool:
        """Whether somebody with the right had said yes (`at` 0: the book kept no time)."""
        yes = [one.at for one in self.said.get(effect.memo, ()) if self._is_right_yes(effect, one)]
        return any(each <= at + _CLOCKS_APART_S or at == 0 for each in yes)

    def _is_right_yes(self, effect: EffectTruth, one: Said) -> bool:
        return one.allows and one.by in effect.needs

    def _used_twice(self) -> Iterator[Sin]:
        """One yes, one call: by the ledger's own book of approvals, and by what stands in the histories."""
        uses: dict[str, set[str]] = defaultdict(set)
        for used in self.evidence.consumed:
            uses[used.request].add(used.key)
            if (row := self.by_key.get(used.key)) is not None:
                yield from self._misused(row, used.by)
        for request, keys in uses.items():
            if len(keys) > 1:
                what = f"the approval {request} was used for {len(keys)} calls: {', '.join(sorted(keys))}"
                yield self._sin(Sort.UNAUTHORISED, "", what, request.partition(":")[0])
        consumed = {used.key for used in self.evidence.consumed}
        for row in self.evidence.rows:
            known = self.known.get(self.memo(row))
            if known and known[1].needs and row.sends and row.key not in consumed:
                what = f"{row.key} was sent {row.sends} times, and no approval was used for it"
                yield self._sin(Sort.UNAUTHORISED, self.memo(row), what, row.task_id)

    def _misused(self, row: Row, by: Sequence[str]) -> Iterator[Sin]:
        known = self.known.get(self.memo(row))
        if known and not set(by) <= set(known[1].needs):
            what = f"{row.key} was sent upon the word of {', '.join(by)}"
            yield self._sin(Sort.UNAUTHORISED, self.memo(row), what, row.task_id)
        end = self.evidence.ends.get(row.task_id)
        if end is not None and end.runs == 1:
            heard = {one.by for one in end.heard if one.choice in ("approve", "edit")}
            if missing := set(by) - heard:
                what = f"the ledger names {', '.join(sorted(missing))}, of whom the history has no answer"
                yield self._sin(Sort.UNAUTHORISED, self.memo(row), what, row.task_id)

    def _ends(self) -> Iterator[Sin]:
        for task in self.truth.tasks:
            end = self.evidence.ends.get(task.task_id)
            if end is None:
                yield Sin(Sort.STUCK, task.task_id, "", "the server does not know it")
            elif end.is_running and end.wedged:
                yield Sin(Sort.STUCK, task.task_id, "", f"its workflow task fails: {end.wedged[:300]}")
            elif end.is_running and not end.waiting_for:
                yield Sin(Sort.STUCK, task.task_id, "", "it has not ended, and waits for nobody")
            elif not end.is_running and end.status not in task.ends:
                what = f"it is {end.status}, expected {' or '.join(task.ends)}: {end.reason[:300]}"
                yield Sin(Sort.WRONG_END, task.task_id, "", what)

    # ------------------------------------------------------------------------------------------------ the doubts

    def doubts(self) -> Iterator[Doubt]:
        """Yield what nobody knows yet."""
        for row in self.evidence.rows:
            if row.is_open:
                yield Doubt(row.kind, row.task_id, self.memo(row), row.key, row.state, self._named(row))

    def _named(self, row: Row) -> str:
        end = self.evidence.ends.get(row.task_id)
        if end is not None and end.is_running and end.waiting_for:
            return ", ".join(end.waiting_for)
        told = [one for one in self._told_of(row) if row.key in one.text]
        return told[0].to if told else ""

    def delays(self) -> Iterator[float]:
        """Yield how long it took until somebody was named, for each send that only a person could settle."""
        for row in self.evidence.rows:
            if row.kind == Kind.UNREPEATABLE.value and (row.evidence == "person" or row.state == "NEEDS_PERSON"):
                told = self._told_of(row)
                yield min((one.at for one in told), default=float("inf")) - (row.marked_at or 0.0)

    def _told_of(self, row: Row) -> Sequence[Notice]:
        sent = row.marked_at or 0.0
        return [
            one
            for one in self.notices.get(row.task_id, ())
            if one.at >= sent and one.to and (row.key in one.text or (_OUTCOME in one.text and row.tool in one.text))
        ]


def _is_for(yes: Said, one: Application) -> bool:
    allowed = yes.allowed
    return allowed.get("account") == one.account and allowed.get("amount_cents") == one.amount_cents
