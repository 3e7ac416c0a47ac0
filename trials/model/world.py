"""What happens without a worker: packets arrive, time passes, people answer, a run is reset. And the provider."""

from collections.abc import Iterator

from core.contract import Effect
from core.receipts import RowState
from trials.model.rules import Rules
from trials.model.state import Call, Clock, Ruling, Scene, Step, Window, World, first_approval
from trials.model.transacting import commit, roll_back


def process(scene: Scene, rules: Rules, call: Call) -> list[tuple[str, Call]]:
    """Return what the provider may do with one packet: (its answer, the call afterwards).

    Answers: yes, no, conflict (perhaps with our own first send), silence (401 and the like: says nothing).
    """
    applied = call._replace(applied=call.applied + 1)
    match scene.effect:
        case Effect.TRANSACTIONAL:
            return [("yes", commit(call))]
        case Effect.IDEMPOTENT:
            again = [("yes", call), ("conflict", call), ("silence", call)]
            return again if call.applied else [*_first(rules, call, applied), ("silence", call)]
        case Effect.KEYED if call.memory == "yes" and call.window < Window.OVER and rules.world.keys_last:
            return [("yes", call), ("silence", call)]
        case Effect.KEYED:
            return [*_first(rules, call, applied._replace(memory="yes")), ("silence", call)]
        case _:
            return [("yes", applied), ("no", call)]


def _first(rules: Rules, call: Call, applied: Call) -> list[tuple[str, Call]]:
    refused = call._replace(memory="no") if rules.world.no_is_steady else call
    return [("no", refused)] if call.memory == "no" else [("yes", applied), ("no", refused)]


class Outside:
    """The world of one scene. `held`: bit n = some worker will send call n; bit n + 2 = some worker may."""

    def __init__(self, scene: Scene, rules: Rules) -> None:
        self._scene = scene
        self._rules = rules

    def start(self) -> World:
        """Return the first state."""
        return World(calls=(Call(),) * self._scene.calls)

    def steps(self, world: World, held: int) -> Iterator[Step]:
        """Yield what may happen next."""
        for at, call in enumerate(world.calls):
            is_held = bool(held >> at & 1)
            yield from self._packets(world, at, call)
            if call.state is not None and not call.state.is_final:
                yield from self._time(world, at, call, is_held=is_held)
            yield from self._people(world, at, call, is_held=bool(held >> at & 0b101))
        if self._scene.resets and world.run == 0 and world.approvals:
            yield Step("the workflow is reset", _reset(world), is_fault=True)

    def _packets(self, world: World, at: int, call: Call) -> Iterator[Step]:
        if not call.packets:
            return
        left = call._replace(packets=call.packets - 1)
        lost = roll_back(left)
        for answer, after in process(self._scene, self._rules, left):
            yield Step(f"a late packet of call {at} arrives ({answer}; nobody listens)", world.put(at, after))
        yield Step(f"a late packet of call {at} is lost", world.put(at, lost), is_fault=True)

    def _time(self, world: World, at: int, call: Call, *, is_held: bool) -> Iterator[Step]:
        gone = self._rules.world
        waits = (call.packets > 0 and gone.packets_end) or (is_held and gone.sends_end)
        waits = waits and self._scene.effect is not Effect.TRANSACTIONAL
        if (then := _tick(call)) is not None and not (then is Clock.SETTLED and waits):
            label = f"time passes for call {at}: {then.name.lower().replace('_', ' ')}"
            yield Step(label, world.put(at, call._replace(clock=then)), ages=at)
        if self._scene.effect is not Effect.KEYED or not call.sends or call.window is Window.OVER:
            return
        later = Window(call.window + 1)
        if not (later is Window.OVER and (waits or call.clock is Clock.FRESH)):
            label = f"time passes for call {at}: {later.name.lower().replace('_', ' ')} of the key window"
            yield Step(label, world.put(at, _forget(call._replace(window=later))))

    def _people(self, world: World, at: int, call: Call, *, is_held: bool) -> Iterator[Step]:
        if call.phase.startswith("asking"):
            number = first_approval(at, int(call.phase[-1]))
            number += 4 * (world.approvals >> number & 1)
            given = world._replace(approvals=world.approvals | 1 << number)
            approved = given.put(at, call._replace(phase="calling"))
            yield Step(f"a person approves call {at} with arguments {call.phase[-1]} (approval {number})", approved)
        if call.phase == "doubted":
            for choice in self._choices(call, is_held=is_held):
                said = call._replace(phase="calling", ruling=Ruling(choice, call.asked_of), asked_of="")
                yield Step(f"a person says of call {at}: {choice}", world.put(at, said))

    def _choices(self, call: Call, *, is_held: bool) -> Iterator[str]:
        yield "write_off"
        if call.applied:
            yield "happened"
        elif not (self._rules.world.people_know and (call.packets or is_held)) and call.sends < self._scene.most_sends:
            yield "did_not_happen"


def _tick(call: Call) -> Clock | None:
    if call.state is RowState.RESERVED:
        return Clock.LEASE_OVER if call.clock is Clock.FRESH else None
    return None if call.clock is Clock.SETTLED else Clock(call.clock + 1)


def _forget(call: Call) -> Call:
    return call._replace(memory="") if call.window is Window.OVER else call


def _reset(world: World) -> World:
    forgotten = [call._replace(phase="calling", ruling=None, asked_of="", kept=None) for call in world.calls]
    return world._replace(run=1, calls=tuple(forgotten))
