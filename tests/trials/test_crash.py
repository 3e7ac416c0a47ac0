"""The crash matrix without its processes: table, choice of cells, judgement, fail points, and the counter."""

import asyncio
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from config.agent_folder import load_agent
from config.settings import Settings
from core.contract import Effect
from core.errors import CallerError, LedgerDown
from core.receipts import Evidence, RowState
from trials.crash import __main__ as crash
from trials.crash.agent import wire
from trials.crash.arming import REACHED, Arm, Do, Injected, Trap
from trials.crash.cells import TOOLS, Cell, all_cells, named, sample
from trials.crash.judging import Found, ends, wrong
from trials.crash.printing import Played, show
from trials.crash.provider import Books
from trials.crash.table import DEPARTURES
from trials.crash.words import Way, Word

CELLS = all_cells()
CAP = 1_000

# as it stands in the design, 3-effects: "crash point x effect: what must happen"
DESIGN = """
before the claim | rerun | free | free | free | free | free
claimed, no mark | - | free | free | free | free | free
marked, nothing sent | - | - | send again | same key | settle, absent, free | person
sent, lost on the way | rerun | rolled back, free | send again | same key | settle, absent, free | person
applied, answer lost | rerun | receipt | send again, no change | same key, saved answer | probe, succeeded | person
definite no, not yet recorded | rerun | free | same no | same no | settle, absent | person
answer received, no receipt | rerun | - | send again | same key | probe | person
receipt, completion not reported | rerun | receipt | receipt | receipt | receipt | receipt
zombie wakes in RESERVED after a takeover | - | fenced | fenced | fenced | fenced | fenced
zombie wakes in IN_FLIGHT after a takeover | - | - | precondition stops it | provider dedups | \
deadline refuses the send | no takeover exists
ledger down before the mark | ok | retry | retry | retry | retry | retry
ledger down after the effect | ok | rolled back | send again | same key | probe | person
cancel before the mark | drop | cancelled | cancelled | cancelled | cancelled | cancelled
cancel or SIGTERM after the mark | drop | finish | finish | finish, or same key later | finish, or probe | \
finish, or person
workflow terminated after the mark | - | row stays | completer | completer | completer | person
reset after the mark | - | new epoch waits, adopts | same | same | same | waits for the person
key window over | - | - | - | as probed, or person | - | -
result too large or not serialisable | cap | receipt and a capped result, never an exception | same | same | same | same
two attempts at once | both | one runs, the other waits | same | same | same | same
"""
MEANS: dict[str, set[Word]] = {
    "rolled back, free": {Word.FREE},
    "send again, no change": {Word.SEND_AGAIN},
    "same key, saved answer": {Word.SAME_KEY},
    "settle, absent": {Word.SAME_NO},
    "probe": {Word.PROBE},
    "ok": {Word.RERUN},
    "retry": {Word.FREE},
    "cap": {Word.RERUN},
    "finish, or same key later": {Word.FINISH, Word.SAME_KEY},
    "finish, or probe": {Word.FINISH, Word.PROBE},
    "finish, or person": {Word.FINISH, Word.PERSON},
    "waits for the person": {Word.ADOPTS},
    "as probed, or person": {Word.ABSENT_FREE, Word.PROBE, Word.PERSON},
    "receipt and a capped result, never an exception": {Word.CAPPED},
}
DEPARTED = {
    ("ledger down after the effect", Effect.TRANSACTIONAL),
    ("workflow terminated after the mark", Effect.TRANSACTIONAL),
    ("definite no, not yet recorded", Effect.TRANSACTIONAL),  # "free", and free to be told the same no
}


def design() -> list[tuple[str, Effect, str]]:
    """Cut the table into (row, kind, words); "same" stands for the word to its left."""
    found = []
    for line in DESIGN.strip().splitlines():
        title, *words = (part.strip() for part in line.split("|"))
        for index, kind in enumerate(Effect):
            while words[index] == "same":
                words[index] = words[index - 1]
            found.append((title, kind, words[index]))
    return found


@pytest.mark.parametrize(("title", "kind", "says"), [cell for cell in design() if cell[2] != "-"])
def test_every_cell_of_the_design_is_tried_and_expected_as_it_says(title: str, kind: Effect, says: str) -> None:
    expected = {cell.word for cell in CELLS if (cell.title, cell.kind) == (title, kind)}
    assert expected, "the cell is not tried"
    if (title, kind) not in DEPARTED:
        assert expected >= (MEANS.get(says) or {Word(says)}), "expected is something else"


def test_what_is_tried_beyond_the_design_is_a_stated_departure() -> None:
    empty = {(title, kind) for title, kind, says in design() if says == "-"}
    beyond = {(cell.title, cell.kind) for cell in CELLS} & empty
    assert beyond == {
        ("marked, nothing sent", Effect.TRANSACTIONAL),
        ("zombie wakes in IN_FLIGHT after a takeover", Effect.TRANSACTIONAL),
    }
    assert any(departure.where == "marked, nothing sent: transactional" for departure in DEPARTURES)
    assert any(departure.where.startswith("zombie in IN_FLIGHT: transactional") for departure in DEPARTURES)


def test_every_row_that_is_a_crash_is_met_by_every_way_to_be_stopped() -> None:
    five = {Way.KILL, Way.STOP, Way.TERM, Way.RAISE, Way.DOWN}
    crashes = list(dict.fromkeys(title for title, _, _ in design()))[:8]
    for title in crashes:
        for kind in {cell.kind for cell in CELLS if cell.title == title}:
            ways = {cell.way for cell in CELLS if (cell.title, cell.kind) == (title, kind)}
            assert ways >= five, (title, kind)


def test_only_a_process_stopped_inside_the_sending_call_is_a_residual() -> None:
    residual = [cell for cell in CELLS if cell.is_residual]
    assert [(cell.kind, cell.spot.place, cell.way) for cell in residual] == [
        (Effect.PROBED, "tool.sending", Way.ZOMBIE)
    ]
    assert any(departure.expected == Word.RESIDUAL for departure in DEPARTURES)


# ------------------------------------------------------------------------------------------------------- the choice


def test_names_of_cells_are_unique() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize("seed", range(20))
def test_sample_covers_every_row_with_every_kind_and_every_way(seed: int) -> None:
    chosen = sample(CELLS, seed)
    assert {(cell.title, cell.kind) for cell in chosen} == {(cell.title, cell.kind) for cell in CELLS}
    assert {(cell.spot.name, cell.way) for cell in chosen} == {(cell.spot.name, cell.way) for cell in CELLS}
    assert any(cell.is_residual for cell in chosen)
    assert len(chosen) < len(CELLS) / 2
    assert chosen == sample(CELLS, seed)


def test_another_seed_tries_other_cells() -> None:
    assert sample(CELLS, 1) != sample(CELLS, 2)


def test_cells_are_found_by_name_and_pattern() -> None:
    assert [cell.name for cell in named(CELLS, "claimed-no-mark/claimed/keyed/kill-9")] == [
        "claimed-no-mark/claimed/keyed/kill-9"
    ]
    assert {cell.title for cell in named(CELLS, "claimed-no-mark/*")} == {"claimed, no mark"}


def test_unknown_cell_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CallerError, match="no cell is called 'nowhere'"):
        named(CELLS, "nowhere")
    assert crash.main(["--cell", "nowhere"]) == 2
    assert "--list prints their names" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- the judgement


def right(cell: Cell) -> Found:
    """Make what has to be found."""
    must = ends(cell)
    evidence = next(iter(sorted(map(str, must.evidence - {None}))), None)
    return Found(
        applied=must.applied,
        requests=must.requests[0],
        states=() if must.state is None else (must.state,),
        evidence=() if must.state is None else (Evidence(evidence) if evidence else None,),
        status=must.status,
        asked=must.asked,
        alarmed=must.alarmed,
        exit=0,
    )


@pytest.mark.parametrize("title", dict.fromkeys(cell.title for cell in CELLS))
def test_right_end_is_right_and_each_change_of_it_is_seen(title: str) -> None:
    for cell in (cell for cell in CELLS if cell.title == title):
        found = right(cell)
        assert wrong(cell, found, CAP) == [], cell.name
        for change in changes(cell):
            assert wrong(cell, found.model_copy(update=change), CAP), (cell.name, change)


def changes(cell: Cell) -> list[dict[str, object]]:
    """Say what makes a right end wrong."""
    found, must = right(cell), ends(cell)
    changes: list[dict[str, object]] = [
        {"applied": must.applied + 1},
        {"requests": must.requests[1] + 1},
        {"status": "RUNNING"},
        {"asked": must.asked ^ {"outcome"}},
        {"alarmed": not must.alarmed},
        {"kept": CAP + 1},
        {"states": (*found.states, RowState.SUCCEEDED)},
        {"states": (RowState.IN_DOUBT,)},
        {"broken": "did not end within 120 s"},
    ]
    fewer: list[dict[str, object]] = [
        {name: count - 1} for name, count in (("requests", must.requests[0]), ("applied", must.applied)) if count
    ]
    return [*changes, *fewer]


@pytest.mark.parametrize("cell", [cell for cell in CELLS if ends(cell).state is RowState.SUCCEEDED][::7])
def test_receipt_without_evidence_and_a_false_report_are_wrong(cell: Cell) -> None:
    found = right(cell)
    assert wrong(cell, found.model_copy(update={"evidence": (None,)}), CAP)
    assert wrong(cell, found.model_copy(update={"told": "failed"}), CAP)


def test_drained_worker_that_does_not_exit_with_0_is_wrong() -> None:
    cell = next(cell for cell in CELLS if cell.way is Way.TERM)
    assert wrong(cell, right(cell).model_copy(update={"exit": -9}), CAP) == ["expected: exit code 0"]


def test_rows_given_up_by_an_epoch_may_stand_beside_the_one_that_counts() -> None:
    cell = next(cell for cell in CELLS if cell.word is Word.ADOPTS)
    two = right(cell).model_copy(update={"states": (RowState.CANCELLED, RowState.SUCCEEDED)})
    assert wrong(cell, two, CAP) == []
    assert wrong(cell, two.model_copy(update={"states": (RowState.IN_FLIGHT, RowState.SUCCEEDED)}), CAP)


def test_wrong_cells_are_shown_in_red_with_what_was_expected_and_found() -> None:
    cell = next(cell for cell in CELLS if cell.word is Word.SAME_KEY)
    found = right(cell).model_copy(update={"applied": 2})
    out = StringIO()
    played = [Played(cell=cell, found=found, faults=tuple(wrong(cell, found, CAP)), seconds=1.0)]
    show(Console(file=out, width=200, force_terminal=True, color_system="standard"), played)
    shown = out.getvalue()
    assert "\x1b[31mWRONG" in shown
    assert f"WRONG {cell.name}" in shown
    assert "expected: applied 1 times" in shown
    assert "found: applied 2" in shown
    assert all(departure.where in shown for departure in DEPARTURES)


# ------------------------------------------------------------------------------------------------- the fail points


def trap(folder: Path, do: Do, **more: float) -> Trap:
    return Trap(Arm(place="door.claimed", key="k", do=do, **more), folder)


def test_fail_point_acts_once_at_its_place_and_key(tmp_path: Path) -> None:
    armed = trap(tmp_path, Do.RAISE)
    armed("door.marked", "k")
    armed("door.claimed", "another")
    assert not (tmp_path / REACHED).exists()
    with pytest.raises(Injected):
        armed("door.claimed", "k")
    assert (tmp_path / REACHED).exists()
    assert armed("door.claimed", "k") is None


def test_ledger_is_cut_off_from_the_place_on_for_its_time(tmp_path: Path) -> None:
    armed = trap(tmp_path, Do.DOWN, seconds=60)
    armed("ledger.write", "")
    armed("door.claimed", "k")
    for place in ("ledger.read", "ledger.write"):
        with pytest.raises(LedgerDown):
            armed(place, "")
    assert armed("ledger.wrote", "") is None, "what was begun before is committed"
    over = trap(tmp_path, Do.DOWN, seconds=0)
    over("door.claimed", "k")
    assert over("ledger.write", "") is None


def test_answer_of_a_commit_is_lost_once_and_then_the_ledger_is_down(tmp_path: Path) -> None:
    armed = trap(tmp_path, Do.DOWN_AFTER, seconds=60)
    armed("door.claimed", "k")
    assert armed("ledger.write", "") is None
    with pytest.raises(LedgerDown, match="answer of a commit"):
        armed("ledger.wrote", "")
    with pytest.raises(LedgerDown, match="cut the ledger off"):
        armed("ledger.write", "")


# ------------------------------------------------------------------------------------------------------ the counter


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "provider.db")


def test_provider_that_knows_keys_applies_one_once(books: Books) -> None:
    for key in ("a", "a", "b"):
        assert books.apply("r", "keyed", {"key": key})
    assert books.counts("r")["applied"] == 2


@pytest.mark.parametrize("kind", ["probed", "unrepeatable", "brief"])
def test_provider_that_knows_no_keys_applies_whatever_comes(books: Books, kind: str) -> None:
    for _ in range(3):
        books.apply("r", kind, {"key": "a"})
    assert books.counts("r")["applied"] == 3
    assert books.found("r", "a")
    assert not books.found("r", "b")


def test_value_is_set_once_and_not_over_somebody_elses(books: Books) -> None:
    wish = {"key": "a", "value": "ours", "version": 0}
    assert books.apply("r", "idempotent", wish)
    assert books.apply("r", "idempotent", wish), "it is as asked for"
    assert books.counts("r")["applied"] == 1
    books.change("r")
    assert not books.apply("r", "idempotent", wish)
    assert books.counts("r")["applied"] == 1


def test_reads_and_requests_are_counted_and_change_nothing(books: Books) -> None:
    books.asked("r", "read", "a", "answer")
    books.apply("r", "read", {"key": "a"})
    assert books.counts("r") == {"requests": 1, "applied": 0, "probes": 0}


# -------------------------------------------------------------------------------------------------------- the agent


def test_agent_has_a_tool_of_each_kind(tmp_path: Path) -> None:
    folder = tmp_path / "crash"
    shutil.copytree(Path(crash.__file__).with_name("agent"), folder)
    (folder / "script").mkdir()
    tools = load_agent(folder, Settings(folder=tmp_path)).tools
    assert {kind: tools[name].contract.effect for kind, name in TOOLS.items()} == {kind: kind for kind in Effect}
    assert {cell.tool for cell in CELLS} == set(tools)
    assert {tool.contract.result_cap for tool in tools.values()} == {crash.RESULT_CAP}


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nConte"])
async def test_answer_that_is_cut_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch, cut: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv(wire.PROVIDER, f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectionResetError):
            await wire.ask("GET", "/find/r", "k")
