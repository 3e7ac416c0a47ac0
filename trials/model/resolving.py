"""What became of a call that was sent and has no receipt: the steps of activities/doubts.py."""

from collections.abc import Callable, Iterator, Mapping

from core.contract import Effect
from core.receipts import Move, RowState
from trials.model.rows import move
from trials.model.rules import Rules
from trials.model.state import COMPLETER, IDLE, Call, Clock, Ruling, Scene, Step, Window, Worker, World
from trials.model.transacting import Transacting

AGAINST = -1
"""In place of an approval: the order at hand says that a person does not want it sent."""
_BY_RULING = {"happened": Move.SUCCEED, "did_not_happen": Move.ABSENT, "write_off": Move.WRITE_OFF}


def is_against(call: Call) -> bool:
    """Whether a person has spoken of the call, and not asked for it to be sent."""
    return call.ruling is not None and call.ruling.choice != "did_not_happen"


class Resolving:
    """By the kind of the effect, or by a person."""

    def __init__(self, scene: Scene, rules: Rules, transacting: Transacting) -> None:
        self._scene = scene
        self._rules = rules
        self._transacting = transacting

    @property
    def phases(self) -> Mapping[str, Callable[[World, Worker, Call], Iterator[Step]]]:
        """Return what a worker does in each phase that begins here."""
        return {
            "resend": self._resend,
            "probing": self._probe,
            "absent": self._absent,
            "ask": self._ask,
            "telling": self._tell,
            "ruling": self._record,
            "ruled": self._act,
        }

    def resolve(self, world: World, worker: Worker, call: Call, *, settle_only: bool) -> Iterator[Step]:
        """Begin to find out what became of a row that is IN_FLIGHT or IN_DOUBT."""
        is_live = call.state is RowState.IN_FLIGHT and call.clock < Clock.LEASE_OVER
        detail = "only settles" if settle_only else ""
        is_unwanted = worker.run != COMPLETER and is_against(call)
        if self._may_send(call, settle_only=settle_only) and not (
            is_unwanted and self._rules.only_did_not_happen_sends
        ):
            if not is_live:
                again = worker._replace(phase="resend", approval=AGAINST if is_unwanted else 0)
                yield Step(f"{_who(worker)}: call {worker.call} is to be sent again", world, again)
        elif self._scene.has_probe or self._scene.effect is Effect.TRANSACTIONAL:
            probing = worker._replace(phase="probing", detail=detail, send=self._transacting.number(call))
            yield Step(f"{_who(worker)}: it is to be asked for call {worker.call}", world, probing)
        elif not is_live:
            yield Step(
                f"{_who(worker)}: a person is to be asked for call {worker.call}", world, self._doubting(worker, "ask")
            )

    def _may_send(self, call: Call, *, settle_only: bool) -> bool:
        """Idempotent and keyed calls are sent again even only to settle them; transactional ones in `_probe`."""
        if call.sends >= self._scene.most_sends:
            return False
        match self._scene.effect:
            case Effect.IDEMPOTENT:
                return True
            case Effect.KEYED:
                return call.window is Window.FIRST_HALF or not self._rules.window_is_checked
            case Effect.TRANSACTIONAL:
                return False
        return not self._rules.resends_harmless_only and not settle_only

    def _doubting(self, worker: Worker, phase: str) -> Worker:
        return worker._replace(phase=phase, detail="")

    def _resend(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        if self._rules.window_is_checked_at_mark and call.window is not Window.FIRST_HALF:
            yield Step(f"finds half the key window of call {at} over", world, IDLE)
            return
        sent = move(self._rules, call, Move.RESEND, is_behind=worker.is_behind)
        is_fenced = worker.run not in (world.bound, COMPLETER) and self._rules.fences_runs
        if sent is None or is_fenced:
            yield Step(f"marks call {at} again: it is not ours any more", world, IDLE)
            return
        bumps = at if Move.RESEND in self._rules.bumping else None
        send = self._transacting.number(sent)
        sender = worker._replace(phase="marked", is_fresh=True, doubtful=sent.doubtful, send=send, detail="")
        after = world.put(at, sent)
        yield Step(f"marks call {at} again (send {sent.sends})", after, sender, bumps=bumps)
        yield Step(f"marks call {at} again, and hears nothing of it", after, IDLE, bumps=bumps, is_fault=True)

    def _probe(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        if call.applied:
            found = worker._replace(phase="answered", detail="found")
            yield Step(f"asks whether call {at} happened: yes", world, found)
        elif self._may_run_again(call, worker):
            yield Step(f"asks whether call {at} happened: not (yet)", world, self._doubting(worker, "resend"))
        else:
            is_early = call.clock is not Clock.SETTLED and self._rules.absent_is_dated_before_asking
            absent = worker._replace(phase="absent", detail="early" if is_early else "")
            yield Step(f"asks whether call {at} happened: not (yet)", world, absent)
        if call.clock is Clock.SETTLED:
            asking = self._doubting(worker, "ask")
            yield Step(f"cannot ask whether call {at} happened, for an hour", world, asking, is_fault=True)

    def _may_run_again(self, call: Call, worker: Worker) -> bool:
        is_live = call.state is RowState.IN_FLIGHT and call.clock < Clock.LEASE_OVER
        is_transactional = self._scene.effect is Effect.TRANSACTIONAL and worker.detail != "only settles"
        return is_transactional and not is_live and call.sends < self._scene.attempts

    def _absent(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at = worker.call
        if self._transacting.is_meant:
            yield from self._rule_out(world, worker, call)
        elif worker.detail == "early" or (call.clock is not Clock.SETTLED and self._rules.absent_waits):
            yield Step(f"does not believe yet that call {at} is absent", world, IDLE)
        elif self._scene.effect is Effect.UNREPEATABLE:
            yield Step(f"will not repeat call {at} unasked", world, self._doubting(worker, "ask"))
        else:
            yield from self._after_doubt(world, worker, call, Move.ABSENT, IDLE)

    def _rule_out(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        if call.state is RowState.IN_FLIGHT and call.clock < Clock.LEASE_OVER:
            yield Step(f"leaves call {worker.call} to whoever sends it", world, IDLE)
        elif worker.detail == "ruled out":
            yield from self._after_doubt(world, worker, call, Move.ABSENT, IDLE)
        else:
            yield from self._transacting.rule_out(world, worker, call, worker._replace(detail="ruled out"))

    def _ask(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        yield from self._after_doubt(world, worker, call, Move.ASK, worker._replace(phase="telling"))

    def _after_doubt(self, world: World, worker: Worker, call: Call, made: Move, then: Worker) -> Iterator[Step]:
        """Doubt first what is still IN_FLIGHT, then move; each is a transaction of its own."""
        at = worker.call
        if call.state is RowState.IN_FLIGHT:
            doubted = move(self._rules, call, Move.DOUBT, is_behind=worker.is_behind)
            words = "notes that no receipt came for" if doubted else "has lost"
            after = world.put(at, doubted or call)
            yield Step(f"{words} call {at}", after, worker if doubted else IDLE)
            return
        moved = move(self._rules, call, made, is_behind=worker.is_behind)
        words = f"moves call {at} by {made}" if moved else f"cannot move call {at} by {made}"
        yield Step(words, world.put(at, moved or call), then if moved else IDLE)

    def _tell(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        is_heard = worker.run == world.run and call.phase == "calling"
        if is_heard and call.state is RowState.NEEDS_PERSON and self._rules.tells_people:
            of = "this" if self._rules.rulings_name_their_send else ""
            call = call._replace(phase="doubted", asked_of=of)
        yield Step(
            f"reports that only a person can tell what became of call {worker.call}", world.put(worker.call, call), IDLE
        )

    def by_person(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        """Look at a row that waits for a person: at the ruling at hand, or ask for one."""
        ruling = call.ruling
        if ruling is None or (self._is_of_another(ruling) and self._rules.rulings_bind_to_send):
            yield Step(f"arrives; call {worker.call} needs a person", world, worker._replace(phase="telling"))
        else:
            yield Step(
                f"arrives with a ruling on call {worker.call}",
                world,
                worker._replace(phase="ruling", detail=ruling.choice),
            )

    def _is_of_another(self, ruling: Ruling) -> bool:
        return ruling.of != "this" if self._rules.rulings_name_their_send else ruling.of == "before"

    def _record(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        if call.ruling is not None and not worker.is_behind and call.ruling.choice == worker.detail:
            call = call._replace(ruling=call.ruling._replace(of="this"))
        yield Step(f"records the ruling {worker.detail}", world.put(worker.call, call), worker._replace(phase="ruled"))

    def _act(self, world: World, worker: Worker, call: Call) -> Iterator[Step]:
        at, made = worker.call, _BY_RULING[worker.detail]
        moved = move(self._rules, call, made, is_behind=worker.is_behind)
        if moved is not None and made is Move.WRITE_OFF:
            moved = moved._replace(written_off=True)
        words = "acts on" if moved else "comes too late with"
        yield Step(f"{words} the ruling {worker.detail} on call {at}", world.put(at, moved or call), IDLE)


def _who(worker: Worker) -> str:
    return "the completer" if worker.run == COMPLETER else "arrives"
