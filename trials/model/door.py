"""The door, one durable or visible thing at a time: what one attempt may do next from where it stands.

::

    idle -> admitted -> claimed -> marked -> checked -> flying -> answered | unknown | release -> (receipt) -> idle
    idle -> resend | probing -> absent | ask | found | ruling -> ruled -> (move) -> idle

Between any two of them the process may be killed, or stopped for as long as it likes.
"""

from collections.abc import Callable, Iterator

from core.contract import Effect
from core.receipts import Move, RowState
from trials.model import world as outside
from trials.model.resolving import AGAINST, Resolving, is_against
from trials.model.rows import move, release
from trials.model.rules import Rules
from trials.model.state import (
    COMPLETER,
    IDLE,
    MOST_PACKETS,
    Call,
    Clock,
    Kept,
    Scene,
    Step,
    Worker,
    World,
    first_approval,
)
from trials.model.transacting import Transacting, roll_back

_OPEN = (RowState.RESERVED, RowState.IN_FLIGHT, RowState.IN_DOUBT, RowState.NEEDS_PERSON)


class Door:
    """Steps of a worker in one scene under one set of rules."""

    def __init__(self, scene: Scene, rules: Rules) -> None:
        self._scene = scene
        self._rules = rules
        self._transacting = Transacting(scene, rules)
        self._resolving = Resolving(scene, rules, self._transacting)
        self._phases: dict[str, Callable[[World, Worker, Call], Iterator[Step]]] = {
            "admitted": self._claim,
            "claimed": self._mark,
            "marked": self._look_at_age,
            "checked": self._send,
            "flying": self._hear,
            "answered": self._settle,
            "unknown": self._doubt,
            "release": self._release,
            "cancel": self._cancel,
            **self._resolving.phases,
        }

    def steps(self, world: World, worker: Worker) -> Iterator[Step]:
        """Yield what this worker may do next."""
        if worker.phase == "idle":
            yield from self._arrivals(world)
            return
        call = world.calls[worker.call]
        for step in self._phases[worker.phase](world, worker, call):
            if not (step.is_fault and self._scene.until_mark):
                yield step
        if self._scene.until_mark and worker.phase not in ("admitted", "claimed"):
            return
        if worker.phase == "flying" and call.packets < MOST_PACKETS:
            orphaned = world.put(worker.call, call._replace(packets=call.packets + 1))
            yield Step("is killed; its packet is under way", orphaned, IDLE, is_fault=True)
        left = world.put(worker.call, roll_back(call)) if worker.phase == "flying" else world
        yield Step(f"is killed ({worker.phase})", left, IDLE, is_fault=True)

    # ------------------------------------------------------------------------------------------------- arriving

    def _arrivals(self, world: World) -> Iterator[Step]:
        if world.run > world.bound:
            yield Step("a call of the reset run arrives: an epoch is opened", self._open_epoch(world), IDLE)
            return
        for at, call in enumerate(world.calls):
            is_planned = at == 0 or not self._scene.resets or world.run == 1
            if call.phase == "calling" and is_planned:
                yield from self._visit(world, at, call)
            if self._scene.until_mark:
                continue
            if call.state is RowState.IN_DOUBT or (call.state is RowState.IN_FLIGHT and call.clock >= Clock.LEASE_OVER):
                sweep = Worker(call=at, run=COMPLETER)
                yield from self._resolving.resolve(world, sweep, call, settle_only=True)

    def _open_epoch(self, world: World) -> World:
        """Bind the run; the planner is told of what was sent, hence that nothing became of the rest."""
        return world._replace(bound=world.run, calls=(self._adopted(world.calls[0]), *world.calls[1:]))

    def _adopted(self, call: Call) -> Call:
        if call.state is None:
            return _closed(call)
        if call.state is RowState.RESERVED:
            cancelled = move(self._rules, call, Move.CANCEL) if self._rules.epoch_cancels_reserved else None
            return (cancelled or call)._replace(phase="closed")
        if not self._rules.epoch_leaves_sent and not call.state.is_final:
            return call._replace(state=RowState.CANCELLED)
        return call

    def _visit(self, world: World, at: int, call: Call) -> Iterator[Step]:
        worker = Worker(call=at, run=world.run)
        is_adopted = self._scene.resets and at == 0 and world.run == 1
        if is_adopted and call.state is None:
            return
        if is_adopted and not self._rules.key_is_without_run:  # looks under another key: there is no row
            yield Step(f"call {at} is looked up, and is not there", world.put(at, _closed(call)), IDLE)
            return
        if self._scene.breaks and call.state is not None and not call.state.is_final:
            broken = world.put(at, call._replace(phase="doubted"))
            yield Step(f"the attempt for call {at} breaks; a person is asked", broken, IDLE, is_fault=True)
        if call.kept is not None:
            yield self._write_kept(world, at, call, call.kept)
            return
        match call.state:
            case None:
                yield from self._start(world, worker, call, settle_only=is_adopted)
            case RowState.RESERVED:
                if call.clock >= Clock.LEASE_OVER:
                    yield from self._start(world, worker, call, settle_only=is_adopted)
            case RowState.NEEDS_PERSON:
                yield from self._resolving.by_person(world, worker, call)
            case RowState.IN_FLIGHT | RowState.IN_DOUBT if not self._scene.until_mark:
                yield from self._resolving.resolve(world, worker, call, settle_only=is_adopted)

    def _write_kept(self, world: World, at: int, call: Call, kept: Kept) -> Step:
        is_behind = kept.is_behind and self._rules.kept_is_fenced
        written = move(self._rules, call, kept.move, is_behind=is_behind) or call
        how = "is written" if written.state is not call.state else "comes too late"
        return Step(
            f"the kept receipt of call {at} ({kept.move}) {how}", world.put(at, written._replace(kept=None)), IDLE
        )

    def _start(self, world: World, worker: Worker, call: Call, *, settle_only: bool) -> Iterator[Step]:
        at, is_used_up = worker.call, call.sends >= self._scene.attempts and call.ruling is None
        is_given_up = is_against(call) and (self._rules.only_did_not_happen_sends or not call.sends)
        if call.sends >= self._scene.most_sends or is_used_up or is_given_up or settle_only:
            if call.state is None:
                yield Step(f"call {at} is not begun", world.put(at, _closed(call)), IDLE)
            else:
                yield Step(f"arrives; call {at} is to be given up", world, worker._replace(phase="cancel"))
            return
        for args in (0, 1) if self._scene.variants else (0,):
            yield from self._admit(world, worker._replace(args=args), call)

    def _admit(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at, fitting = worker.call, list(self._approvals(world, worker))
        if call.ruling is not None and call.sends:
            approval = AGAINST if is_against(call) else 0
            admitted = worker._replace(phase="admitted", approval=approval)
            yield Step(f"arrives; call {at} is to be sent, since a person said {call.ruling.choice}", world, admitted)
            return
        for approval in fitting:
            admitted = worker._replace(phase="admitted", approval=approval)
            words = f"with arguments {worker.args} " if self._scene.variants else ""
            yield Step(f"arrives; call {at} {words}is admitted by approval {approval}", world, admitted)
        if not fitting:
            asking = world.put(at, call._replace(phase=f"asking{worker.args}"))
            yield Step(f"arrives; an approval is needed for call {at} with arguments {worker.args}", asking, IDLE)

    def _approvals(self, world: World, worker: Worker) -> Iterator[int]:
        """Yield those at hand that fit: with `shares`, the first one as if nothing told the two calls apart."""
        for number in range(1, 9):
            first = (number - 1) % 4 + 1
            is_own = first == _own(worker) or (self._scene.shares and number == 1)
            is_of_call = (first - 1) // 2 == worker.call
            if world.approvals >> number & 1 and (is_own or (is_of_call and not self._rules.compares_digest)):
                yield number

    # ----------------------------------------------------------------------------------------- claiming, marking

    def _claim(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        if worker.run != world.bound and self._rules.fences_runs:
            yield Step(f"claims call {at}: fenced, a later run has taken over", world, IDLE)
        elif call.state is None:
            yield from self._insert(world, worker, call)
        elif call.args != worker.args and self._rules.compares_fingerprint:
            yield Step(f"claims call {at}: its key belongs to other arguments", world, IDLE)
        elif (taken := self._take_over(call)) is None:
            yield Step(f"claims call {at}: it is {call.state}", world, IDLE)
        else:
            yield Step(
                f"takes call {at} over",
                world.put(at, taken),
                worker._replace(phase="claimed"),
                bumps=at if Move.TAKE_OVER in self._rules.bumping else None,
            )

    def _take_over(self, call: Call) -> Call | None:
        if not self._rules.takes_over_reserved_only and call.state is RowState.IN_FLIGHT:
            is_over = call.clock >= Clock.LEASE_OVER
            return call._replace(state=RowState.RESERVED, clock=Clock.FRESH) if is_over else None
        return move(self._rules, call, Move.TAKE_OVER)

    def _insert(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        if self._scene.resets and self._is_in_the_way(world.calls[1 - at]):
            yield Step(f"claims call {at}: the similar call {1 - at} is in the way", world, IDLE)
            return
        reserved = call._replace(state=RowState.RESERVED, args=worker.args, clock=Clock.FRESH)
        yield Step(f"claims call {at}", world.put(at, reserved), worker._replace(phase="claimed"))

    def _is_in_the_way(self, other: Call) -> bool:
        if other.state is RowState.SUCCEEDED:
            return True
        return (other.state in _OPEN and self._rules.guard_sees_open) or (
            other.written_off and self._rules.guard_sees_written_off
        )

    def _mark(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at, approval = worker.call, worker.approval
        giving_up = worker._replace(phase="release")
        if self._is_used(world, worker):
            asking = world.put(at, call._replace(phase="asking0")) if call.phase == "calling" else world
            yield Step(f"marks call {at}: approval {approval} was used by another call", asking, giving_up)
            return
        yield Step("cannot reach the ledger to mark, or is cancelled", world, giving_up, is_fault=True)
        marked = move(self._rules, call, Move.MARK, is_behind=worker.is_behind)
        if marked is None or (worker.run != world.bound and self._rules.fences_runs):
            yield Step(f"marks call {at}: it is not ours any more", world, IDLE)
            return
        if self._rules.consumes_with_mark and approval > 0:
            marked = marked._replace(consumed=approval)
        after = world.put(at, marked)
        send = self._transacting.number(marked)
        sender = worker._replace(phase="marked", is_fresh=True, doubtful=marked.doubtful, send=send)
        yield Step(f"marks call {at} (send {marked.sends})", after, sender)
        yield Step(f"marks call {at}, and hears that the ledger is down", after, giving_up, is_fault=True)

    def _is_used(self, world: World, worker: Worker) -> bool:
        used = (other.consumed for at, other in enumerate(world.calls) if at != worker.call)
        return self._rules.checks_consumer and worker.approval > 0 and worker.approval in used

    # -------------------------------------------------------------------------------------------------- sending

    def _look_at_age(self, world: World, worker: Worker, _: Call) -> Iterator[Step]:
        if not worker.is_fresh and self._rules.checks_age_of_mark:
            yield Step("finds its mark too old", world, worker._replace(phase="release"))
        else:
            yield Step(
                "looks at the age of its mark, and goes on", world, worker._replace(phase="checked", is_fresh=False)
            )

    def _send(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        args = call.args if self._rules.sends_args_of_row else worker.args
        sent = call._replace(under=max(worker.approval, 0) or call.under or call.consumed)
        if not self._rules.consumes_with_mark:
            sent = sent._replace(consumed=sent.under)
        sent = sent._replace(wrong=sent.wrong or _wrong(worker, sent, args))
        if self._transacting.is_meant:
            yield from self._transacting.take(world, worker, sent)
            return
        yield Step(f"sends call {at}", world.put(at, sent), worker._replace(phase="flying"))
        not_sent = worker._replace(phase="release", detail="not sent")
        yield Step(f"cannot connect: call {at} is certainly not sent", world, not_sent, is_fault=True)

    def _hear(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        if self._transacting.is_meant:
            yield from self._transacting.end(world, worker, call)
            return
        at, unknown = worker.call, worker._replace(phase="unknown")
        for answer, after in outside.process(self._scene, self._rules, call):
            arrived = world.put(at, after)
            words = f"the packet of call {at} arrives, the answer is {answer}"
            yield Step(words, arrived, worker._replace(phase="answered", detail=answer))
            yield Step(f"{words}, and is lost", arrived, unknown, is_fault=True)
        yield Step(f"the packet of call {at} is lost", world, unknown, is_fault=True)
        if call.packets < MOST_PACKETS:
            late = world.put(at, call._replace(packets=call.packets + 1))
            yield Step(f"gives up waiting; the packet of call {at} is still under way", late, unknown, is_fault=True)

    # -------------------------------------------------------------------------------------------------- writing

    def _settle(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at, made = worker.call, Move.SUCCEED if worker.detail in ("yes", "found") else Move.REFUSE
        if made is Move.REFUSE and worker.doubtful and self._may_follow_success(worker.detail):
            yield from self._disbelieve(world, worker, call)
            return
        is_transactional = self._transacting.is_meant and self._rules.no_after_doubt_rules_out
        if made is Move.REFUSE and worker.doubtful and is_transactional:
            yield from self._transacting.rule_out(world, worker, call, worker._replace(doubtful=False))
            return
        settled = move(self._rules, call, made, is_behind=worker.is_behind)
        if settled is None:
            yield Step(f"writes the receipt of call {at} ({made}): too late, kept as evidence", world, IDLE)
        else:
            yield Step(f"writes the receipt of call {at} ({made})", world.put(at, settled), IDLE)
        if worker.run == world.run and call.phase == "calling" and self._scene.effect is not Effect.TRANSACTIONAL:
            kept = (
                Kept(made, worker.is_behind)
                if self._rules.keeps_what_was_answered
                else Kept(Move.REFUSE, worker.is_behind)
            )
            after = world.put(at, call._replace(kept=kept))
            yield Step(f"the ledger is down: the workflow keeps the receipt of call {at}", after, IDLE, is_fault=True)

    def _may_follow_success(self, answer: str) -> bool:
        if answer == "conflict":
            return self._rules.disbelieves_conflict
        return answer == "silence" and self._rules.disbelieves_silence

    def _disbelieve(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        if call.applied and self._scene.has_probe:
            yield Step("does not believe it, and finds it done", world, worker._replace(detail="found"))
        else:
            yield Step("does not believe it", world, worker._replace(phase="unknown"))

    def _doubt(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        if self._rules.unknown_is_doubt:
            doubted = move(self._rules, call, Move.DOUBT, is_behind=worker.is_behind)
        else:
            doubted = move(self._rules, call, Move.RELEASE, is_behind=worker.is_behind)
        words = "writes that nobody knows" if doubted else "doubts, but it is not ours any more"
        yield Step(f"{words} what became of call {worker.call}", world.put(worker.call, doubted or call), IDLE)

    def _release(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        released = release(self._rules, call, is_behind=worker.is_behind)
        is_over = worker.detail == "not sent" and call.sends >= self._scene.attempts
        then = IDLE
        if is_over and released is not None and released.state is RowState.RESERVED:
            then = worker._replace(phase="cancel", detail="")
        words = f"is {released.state} now" if released else "is not ours any more"
        yield Step(f"gives call {worker.call} back: it {words}", world.put(worker.call, released or call), then)

    def _cancel(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        cancelled = move(self._rules, call, Move.CANCEL, is_behind=worker.is_behind)
        words = "cancels" if cancelled else "cannot cancel"
        yield Step(f"{words} call {worker.call}", world.put(worker.call, cancelled or call), IDLE)


def _closed(call: Call) -> Call:
    return call._replace(phase="closed")


def _own(worker: Worker) -> int:
    return first_approval(worker.call, worker.args)


def _wrong(worker: Worker, call: Call, args: int) -> str:
    """Say what a dispatch does that nobody allowed."""
    if not call.under or worker.approval == AGAINST:
        return "G5"
    return "G4" if (call.under - 1) % 2 != args else ""
