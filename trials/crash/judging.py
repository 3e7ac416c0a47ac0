"""What was found against what must be. The provider's counts come first; what the runtime says of itself has to fit."""

from typing import assert_never

from core.contract import Effect
from core.receipts import Evidence, RowState
from core.record import Record
from trials.crash.cells import Cell
from trials.crash.words import Way, Word

_ENDING = (Way.CANCEL, Way.CANCEL_KILL, Way.CANCEL_HEARD, Way.TERMINATE)


class Found(Record):
    """How a cell ended. `status`: Temporal's; `asked`: kinds of requests that were opened; `kept`: bytes of the result.

    ``told``: outcome of the last effect in the task's own result. ``exits``: how the armed worker ended by itself.
    """

    applied: int
    requests: int
    probes: int = 0
    states: tuple[RowState, ...] = ()
    evidence: tuple[Evidence | None, ...] = ()
    status: str
    asked: frozenset[str] = frozenset()
    alarmed: bool = False
    kept: int = 0
    told: str = ""
    exit: int | None = None
    broken: str = ""


class Ends(Record):
    """What must be found. None = nothing is said of it; `requests`: the fewest and the most that may have arrived."""

    applied: int
    requests: tuple[int, int]
    state: RowState | None
    evidence: frozenset[Evidence | None]
    status: str = "COMPLETED"
    asked: frozenset[str] = frozenset()
    alarmed: bool = False


def wrong(cell: Cell, found: Found, result_cap: int) -> list[str]:
    """Say what is not as it must be; nothing = the cell is as in the table."""
    if found.broken:
        return [found.broken]
    faults = [_differences(cell, must, found, result_cap) for must in (ends(cell), *also_right(cell))]
    return [] if [] in faults else faults[0]


def _differences(cell: Cell, must: Ends, found: Found, result_cap: int) -> list[str]:
    checks = {
        f"applied {must.applied} times": found.applied == must.applied,
        f"requests {_range(must.requests)}": must.requests[0] <= found.requests <= must.requests[1],
        f"row {_state(must.state)}": _has_state(must.state, found.states),
        f"evidence {' or '.join(sorted(map(str, must.evidence)))}": _evidence(found) in must.evidence,
        f"status {must.status}": found.status == must.status,
        f"asks {_list(must.asked)}": found.asked == must.asked,
        f"alarm {must.alarmed}": found.alarmed == must.alarmed,
        "the task tells what the row says": _tells_what_is(found),
        "a receipt only of what was done": _is_true(cell, found),
        f"result at most {result_cap} bytes": found.kept <= result_cap,
        "exit code 0": found.exit == 0 or cell.way is not Way.TERM,
    }
    return [f"expected: {what}" for what, holds in checks.items() if not holds]


def ends(cell: Cell) -> Ends:
    """Spell the word of a cell out."""
    spot, word = cell.spot, cell.word
    status = _status(cell.way)
    if cell.kind is Effect.READ:
        most = 1 if word is Word.UNAVAILABLE else 9
        return Ends(
            applied=0, requests=(0 if word is Word.UNAVAILABLE else 1, most), state=None, evidence=NOBODY, status=status
        )
    match word:
        case Word.FREE | Word.FENCED | Word.TOO_OLD | Word.ABSENT_FREE | Word.SEND_AGAIN | Word.SAME_KEY:
            return _succeeds(cell, spot.arrived + 1, status)
        case Word.FINISH | Word.RECEIPT | Word.CAPPED | Word.ONE_RUNS:
            return _succeeds(cell, 1, status)
        case Word.PRECONDITION | Word.DEDUP:
            return _succeeds(cell, 2, status)
        case Word.PROBE:
            return _succeeds(cell, spot.arrived, status, Evidence.PROBE)
        case Word.SAME_NO:
            return _fails(spot.arrived + 1)
        case Word.KEPT_NO:
            return _fails(1)
        case Word.CANCELLED:
            return Ends(applied=0, requests=(0, 0), state=RowState.CANCELLED, evidence=NOBODY, status=status)
        case Word.PERSON | Word.NO_TAKEOVER:
            return _asks(cell, status)
        case Word.COMPLETER:
            return _completes(cell, status)
        case Word.BUG:
            return _breaks(cell)
        case Word.ADOPTS:
            return _adopts(cell)
        case Word.RESIDUAL:
            return _succeeds(cell, 2, status).model_copy(update={"applied": 2})
        case Word.RERUN | Word.DROP | Word.BOTH | Word.UNAVAILABLE:
            raise AssertionError(f"{word} is said of reads only")
        case never:
            assert_never(never)


def also_right(cell: Cell) -> tuple[Ends, ...]:
    """Return other ends that are as good: a cancel that the next attempt outruns finds the call made ("finish, or")."""
    is_race = cell.way is Way.CANCEL_KILL and cell.word is Word.CANCELLED
    return (_succeeds(cell, cell.spot.arrived + 1, _status(cell.way)),) if is_race else ()


NOBODY: frozenset[Evidence | None] = frozenset({None})
_OUTCOME = frozenset({"outcome"})


def _status(way: Way) -> str:
    if way is Way.TERMINATE:
        return "TERMINATED"
    return "CANCELED" if way in _ENDING else "COMPLETED"


def _own(kind: Effect) -> Evidence:
    return Evidence.TRANSACTION if kind is Effect.TRANSACTIONAL else Evidence.ANSWER


def _succeeds(cell: Cell, requests: int, status: str, evidence: Evidence | None = None) -> Ends:
    found = {evidence or _own(cell.kind)}
    if cell.kind is Effect.PROBED and cell.word in (Word.ONE_RUNS, Word.FINISH):
        found.add(Evidence.PROBE)  # another attempt may ask at once, under a live lease too
    return Ends(
        applied=1,
        requests=(requests, requests),
        state=RowState.SUCCEEDED,
        evidence=frozenset(found),
        status=status,
    )


def _fails(requests: int) -> Ends:
    return Ends(applied=0, requests=(requests, requests), state=RowState.FAILED, evidence=frozenset({Evidence.ANSWER}))


def _asks(cell: Cell, status: str) -> Ends:
    """Spell out what comes of it when whoever is asked says the truth: by then it has happened, or has not."""
    spot = cell.spot
    has_happened = bool(spot.applied) or cell.spot.place == "tool.sending"
    if cell.way is Way.TERMINATE:  # nobody asks for a task that is gone: the owner is alarmed
        return Ends(
            applied=spot.applied,
            requests=(spot.arrived, spot.arrived),
            state=RowState.NEEDS_PERSON,
            evidence=NOBODY,
            status=status,
            alarmed=True,
        )
    if has_happened:
        evidence = frozenset({Evidence.PERSON, *({Evidence.ANSWER} if cell.way is Way.ZOMBIE else ())})
        return Ends(
            applied=1, requests=(1, 1), state=RowState.SUCCEEDED, evidence=evidence, status=status, asked=_OUTCOME
        )
    if cell.way in _ENDING:
        arrived = (spot.arrived, spot.arrived)
        return Ends(
            applied=0, requests=arrived, state=RowState.CANCELLED, evidence=NOBODY, status=status, asked=_OUTCOME
        )
    if spot.is_refused and cell.way is Way.ZOMBIE:  # it wakes up with the no in its hand
        return _fails(spot.arrived).model_copy(update={"asked": _OUTCOME})
    after = _fails(spot.arrived + 1) if spot.is_refused else _succeeds(cell, spot.arrived + 1, status)
    return after.model_copy(update={"asked": _OUTCOME})


def _completes(cell: Cell, status: str) -> Ends:
    """Spell out a sweep, which begins nothing: what was not sent stays so, unless sending is how one finds out."""
    match cell.kind:
        case Effect.IDEMPOTENT | Effect.KEYED:
            return _succeeds(cell, cell.spot.arrived + 1, status)
        case Effect.PROBED if cell.spot.applied:
            return _succeeds(cell, 1, status, Evidence.PROBE)
        case Effect.TRANSACTIONAL if cell.spot.applied:
            return _succeeds(cell, 1, status)
    return Ends(applied=0, requests=(0, 0), state=RowState.CANCELLED, evidence=NOBODY, status=status)


def _breaks(cell: Cell) -> Ends:
    """Spell out a bug of ours: a person is asked, and with the truth in hand the call ends as it should."""
    spot = cell.spot
    most = (spot.arrived, spot.arrived + 1)
    if spot.is_refused:
        return _fails(1).model_copy(update={"requests": most, "asked": _OUTCOME})
    return Ends(
        applied=1,
        requests=most,
        state=RowState.SUCCEEDED,
        evidence=frozenset(Evidence),
        asked=_OUTCOME,
    )


def _adopts(cell: Cell) -> Ends:
    """Spell out a reset: the owner is asked how to go on, and the plan, made again, sends only what is not done."""
    asked = {"stuck", *(_OUTCOME if cell.kind is Effect.UNREPEATABLE else ())}
    arrived = cell.spot.arrived
    return Ends(
        applied=1,
        requests=(1, arrived + 1),
        state=RowState.SUCCEEDED,
        evidence=frozenset(Evidence),
        asked=frozenset(asked),
    )


def _has_state(wanted: RowState | None, states: tuple[RowState, ...]) -> bool:
    """Whether the one row is as it must be; of several (an epoch makes a new one) one is, the others were given up."""
    if wanted is None:
        return not states
    others = [state for state in states if state is not wanted]
    if wanted is RowState.CANCELLED and not states:
        return True  # cancelled before there was a row
    return len(states) - len(others) == 1 and all(state is RowState.CANCELLED for state in others)


def _evidence(found: Found) -> Evidence | None:
    return next((one for one in found.evidence if one is not None), None)


def _tells_what_is(found: Found) -> bool:
    """Whether the task's result says what the ledger does (G3); tasks without a result say nothing."""
    if not found.told or not found.states:
        return True
    return (found.told == "succeeded") == (RowState.SUCCEEDED in found.states)


def _is_true(cell: Cell, found: Found) -> bool:
    is_done = RowState.SUCCEEDED in found.states
    return cell.kind is Effect.READ or not is_done or found.applied >= 1


def _state(state: RowState | None) -> str:
    return "none" if state is None else state.value


def _range(bounds: tuple[int, int]) -> str:
    fewest, most = bounds
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def _list(words: frozenset[str]) -> str:
    return ", ".join(sorted(words)) or "nobody"
