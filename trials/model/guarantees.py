"""G1 to G5, as facts about one world; G2 is about what can still be reached (see `search`)."""

from core.receipts import RowState
from trials.model.state import Call, Scene, World


def violation(world: World, scene: Scene) -> str:
    """Name the guarantee that a world breaks, "" for none."""
    if any(call.applied > 1 for call in world.calls):
        return "G1"
    if scene.resets and sum(call.applied for call in world.calls) > 1:  # the same wish under two keys
        return "G1"
    if any(_is_false(call) for call in world.calls):
        return "G3"
    for call in world.calls:
        if call.wrong:
            return call.wrong
    used = [call.under for call in world.calls if call.under]
    return "G5" if len(used) != len(set(used)) else ""


def _is_false(call: Call) -> bool:
    """Whether what is recorded (or was told) of a call is not so."""
    match call.state:
        case RowState.SUCCEEDED:
            return call.applied == 0
        case RowState.FAILED | RowState.CANCELLED:
            return call.applied > 0 and not call.written_off
    return call.phase == "closed" and call.applied > 0  # it was told that nothing was sent


def is_settled(world: World) -> bool:
    """Whether every call that was begun has ended, and no receipt waits to be written."""
    return all(_has_ended(at, call, world) for at, call in enumerate(world.calls))


def _has_ended(at: int, call: Call, world: World) -> bool:
    if call.state is None:  # the first call is wanted until it is refused, or until its run is given up
        return at > 0 or call.phase == "closed" or world.run > 0
    return call.state.is_final
