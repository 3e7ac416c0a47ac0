"""Everything between a call's arrival and its claim: check, similar calls, preflight, policy, approvals.

Nothing in here reaches the world but `preflight`, which only looks; all of it may run any number of times.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from activities.approvals import Bench, Weighed
from activities.arguments import complete_origin, fill_in, numbers_as_text
from activities.faults import NotYet, back_off
from activities.results import report_of, shorten
from activities.visit import Visit, within
from core import names
from core.errors import Refused
from core.messages import ApprovalNeeded, ToolRefused, ToolReport, ToolUnavailable
from core.ports import Agent, Case, Do, Ledger, Tool, Verdict
from core.receipts import Approval, Move, Reservation, Row, RowState, Total
from core.record import Json
from core.references import Unresolvable

_SHOWN_ARGS, _SHOWN_FACTS = 64_000, 16_000
_HINT = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Checked:
    """Arguments that the tool accepts, where they came from, and the digest that an approval has to name."""

    agent: Agent
    tool: Tool
    args: dict[str, Json]
    origin: dict[str, str]
    digest: str
    facts: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be made now: claimed with `reservation`, marked together with `approvals` and `totals`."""

    checked: Checked
    verdict: Verdict
    reservation: Reservation
    approvals: tuple[Approval, ...]
    totals: tuple[Total, ...]

    @property
    def tool(self) -> Tool:
        """The tool that is called."""
        return self.checked.tool


class _No(Exception):
    """The call ends here, with this report."""

    def __init__(self, report: ToolReport) -> None:
        super().__init__(report.kind)
        self.report = report


class Admission:
    """Decides whether a call may be made, and says what stands in its way."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def admit(self, visit: Visit, row: Row | None) -> Admitted | ToolReport:
        """Judge a call that has not been sent (or certainly was not applied: then `row` is there, RESERVED)."""
        try:
            checked = await self._check(visit)
            reservation = _reserve(visit, checked)
            if checked.tool.contract.writes:
                await self._guard(visit, reservation)
                checked = await self._look_up_facts(visit, checked, row)
            return await self._judge(visit, checked, reservation, row)
        except _No as no:
            if isinstance(no.report, ToolRefused):
                await self._record(visit, "call.refused", {"code": no.report.code, "message": no.report.message[:500]})
            return no.report

    async def is_another_call(self, visit: Visit, row: Row) -> bool:
        """Whether a row was sent with other arguments than those at hand. Not told apart once the contract changed."""
        if row.contract_digest != visit.order.digest:
            return True
        if not visit.is_unchanged:
            return False
        try:
            return _reserve(visit, await self._check(visit)).fingerprint != row.fingerprint
        except _No:  # cannot be told any more; the key is ours, so its row speaks
            return False

    async def instead_of(self, visit: Visit, twin: Row) -> ToolReport:
        """Answer with what is known of an earlier call that wanted the same."""
        if twin.state is RowState.SUCCEEDED:
            visit.log.info("call.found_done", of=twin.step)
            return await report_of(self._ledger, twin, step=visit.order.step, already=True)
        stands = "was written off, and may have happened" if twin.written_off else f"is {twin.state} there"
        message = f"{twin.step} made the same call and {stands}; nothing was sent"
        return ToolRefused(step=visit.order.step, code="in_the_way", message=message)

    async def ask_again(self, visit: Visit, admitted: Admitted, note: str) -> ToolReport:
        """Ask for new approvals, since one of those at hand was used for another call."""
        bench = _bench(visit, admitted.checked, admitted.verdict)
        return await self._ask(visit, admitted.checked, bench, Weighed((), note, enough=False))

    async def _check(self, visit: Visit) -> Checked:
        order, agent, tool = visit.order, visit.agent, visit.tool
        if agent is None or tool is None or not visit.is_unchanged:
            raise _refused(visit, "contract_changed", f"{visit.name} is not there as the plan knew it; plan again")
        try:
            filled, found = await fill_in(order.args, order.deferred, self._ledger.fetch)
            origin = {**found, **order.origin}
            args = tool.check(numbers_as_text(filled, origin, tool.contract.args_schema))
            digest = names.approval_digest(order.key, visit.name, args, order.digest)
        except Unresolvable as error:
            raise _refused(visit, "not_resolved", str(error)) from error
        except Refused as error:
            raise _refused(visit, error.code, error.message) from error
        except names.NotCanonical as error:
            raise _refused(visit, "bad_arguments", f"the arguments have no canonical JSON: {error}") from error
        return Checked(agent, tool, args, complete_origin(args, origin), digest, {})

    async def _guard(self, visit: Visit, reservation: Reservation) -> None:
        """Let no second call of the same intent through, before anybody is asked for it."""
        twin = await self._ledger.twin(reservation.task_id, reservation.similarity, reservation.key)
        if twin is None or twin.may_be_repeated(reservation.repeat_of):
            return
        is_left_behind = twin.step.partition(".")[0] != visit.order.step.partition(".")[0]  # rounds do not overlap
        if twin.state is RowState.RESERVED and (twin.intent == reservation.intent or is_left_behind):
            # an earlier revision of this step, or a step of a round that is over, and never sent: it makes way
            if await self._ledger.move(twin.key, twin.fence, Move.CANCEL, "replaced by a later revision") is None:
                raise NotYet("an earlier revision of this step is being made", back_off(1))
            return
        raise _No(await self.instead_of(visit, twin))

    async def _look_up_facts(self, visit: Visit, checked: Checked, row: Row | None) -> Checked:
        tool = checked.tool
        facts: dict[str, Json] = {"repeat_of": visit.order.repeat_of} if visit.order.repeat_of else {}
        if tool.contract.has_preflight:
            try:
                looking = tool.preflight(visit.call(tool, row), checked.args)
                facts |= await within(tool.contract.timeout, looking)
            except Refused as error:
                raise _refused(visit, error.code, error.message) from error
            except Exception as error:
                raise _unavailable(visit, tool, f"its preflight failed: {error}") from error
        return Checked(checked.agent, tool, checked.args, checked.origin, checked.digest, facts)

    async def _judge(
        self, visit: Visit, checked: Checked, reservation: Reservation, row: Row | None
    ) -> Admitted | ToolReport:
        verdict = await self._verdict(visit, checked)
        bench = _bench(visit, checked, verdict)
        weighed = bench.weigh(visit.order.approvals, checked.digest)
        totals = (verdict.total,) if verdict.total else ()
        is_ruled = row is not None and row.sends > 0 and visit.ruling_on(row) is not None
        if is_ruled and verdict.do is Do.ASK:  # whoever said "it did not happen" wants it sent
            return Admitted(checked, verdict, reservation, (), totals)
        match verdict.do:
            case Do.DENY:
                raise _refused(visit, "denied", f"{verdict.rule}: {verdict.reason}".rstrip(": "))
            case Do.ALLOW:  # whoever approved of exactly this, as by an edit, stands behind it all the same
                named = tuple(approval for approval in weighed.fit if approval.by)
                return Admitted(checked, verdict, reservation, named, totals)
            case Do.ASK:
                if not weighed.enough:
                    return await self._ask(visit, checked, bench, weighed)
                return Admitted(checked, verdict, reservation, weighed.fit, totals)

    async def _verdict(self, visit: Visit, checked: Checked) -> Verdict:
        """Take the first rule whose capped sum still has room for this call."""
        for verdict in checked.agent.policy.judge(_case(visit, checked)):
            total = verdict.total
            if total is None or await self._ledger.spent(total.bucket, visit.order.key) + total.amount <= total.maximum:
                return verdict
        return Verdict(do=Do.ASK, rule="none", reason="no rule of the policy applies")

    async def _ask(self, visit: Visit, checked: Checked, bench: Bench, weighed: Weighed) -> ApprovalNeeded:
        verdict = bench.verdict
        await self._record(visit, "approval.needed", {"rule": verdict.rule, "digest": checked.digest})
        return ApprovalNeeded(
            step=visit.order.step,
            args=shorten(checked.args, _SHOWN_ARGS),
            origin=shorten(checked.origin, _SHOWN_FACTS),
            digest=checked.digest,
            facts=shorten(checked.facts, _SHOWN_FACTS),
            rule=verdict.rule,
            reason=verdict.reason,
            hint=_hint(checked.tool.contract.approve_hint or "", checked.args),
            approvers=verdict.approvers,
            may_answer=bench.may_answer,
            may_reject=() if bench.can_be_given else checked.agent.profile.owners or (checked.agent.profile.owner,),
            quorum=max(verdict.quorum, 1),
            given=weighed.fit,
            note=weighed.note[:1_000],
        )

    async def _record(self, visit: Visit, event: str, fields: dict[str, Json]) -> None:
        visit.log.info(event, **fields)
        await self._ledger.record(visit.line(event, fields))


def _refused(visit: Visit, code: str, message: str) -> _No:
    return _No(ToolRefused(step=visit.order.step, code=code[:100], message=message[:2_000]))


def _unavailable(visit: Visit, tool: Tool, why: str) -> Exception:
    """Try again until the attempts are used up; Temporal's count stands in, since nothing durable is kept here."""
    if visit.attempt < tool.contract.attempts:
        return NotYet(why[:500], back_off(visit.attempt))
    return _No(ToolUnavailable(step=visit.order.step, reason=why[:2_000], attempts=visit.attempt))


def _reserve(visit: Visit, checked: Checked) -> Reservation:
    order, contract = visit.order, checked.tool.contract
    return Reservation(
        key=order.key,
        task_id=order.task_id,
        step=order.step,
        intent=order.intent,
        revision=order.revision,
        agent=order.agent,
        tool=visit.name,
        effect=contract.effect,
        contract_digest=contract.digest,
        fingerprint=names.fingerprint(checked.args, contract.digest),
        similarity=_similarity(visit, checked),
        args=checked.args,
        origin=checked.origin,
        repeat_of=order.repeat_of,
        undoes=order.undoes or None,
        run_id=visit.run_id or "",
    )


def _similarity(visit: Visit, checked: Checked) -> str:
    """Hash what makes two calls one intent. Of undos that is what they take back, since equal effects look the same."""
    order = visit.order
    if order.undoes:
        return names.similarity(order.task_id, visit.name, {"undoes": order.undoes}, None)
    return names.similarity(order.task_id, visit.name, checked.args, checked.tool.contract.identity)


def _case(visit: Visit, checked: Checked) -> Case:
    task = visit.task
    return Case(
        tool=visit.name,
        writes=checked.tool.contract.writes,
        args=checked.args,
        inputs=task.inputs,
        task={"id": task.task_id, "agent": task.agent, "requested_by": task.requested_by, "goal": task.goal},
        facts=checked.facts,
        origin=checked.origin,
        day=visit.clock().date().isoformat(),
    )


def _bench(visit: Visit, checked: Checked, verdict: Verdict) -> Bench:
    profile = checked.agent.profile
    return Bench(verdict, profile.people, visit.task.requested_by, profile.trust)


def _hint(template: str, args: Mapping[str, Json]) -> str:
    def put(found: re.Match[str]) -> str:
        return str(args.get(found.group(1), "")) if found.group(1) else found.group(0)[0]

    return _HINT.sub(put, template)[:500]
