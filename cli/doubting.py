"""doubts, settle: calls that were sent and of which nobody knows what became, also of tasks that are gone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.errors import Declined, Exit
from cli.opening import Desk, at_the_desk
from cli.options import AsJson, By, ConfigPath
from cli.screen import ago
from config.settings import Settings
from core.card import visible
from core.errors import CallerError, ConfigError
from core.names import as_person
from core.ports import Ledger
from core.receipts import Evidence, Line, Move, Row, RowState, Settlement
from core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.profile import Profile

_SHORTEST_KEY = 6


class Word(StrEnum):
    """What a person can say of a call in doubt."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    WRITE_OFF = "write_off"


class Doubt(Record):
    """One call whose outcome is not known. `owner`: who is to find out; `is_running`: whether its task can be asked."""

    key: str
    task_id: str
    step: str
    tool: str
    effect: str
    state: RowState
    sends: int
    since: datetime
    owner: str
    is_running: bool
    message: str


def doubts(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List every call that was sent and whose outcome is not known, with who is to find out. Exit code 1: there are."""

    async def verb(desk: Desk) -> Exit:
        async with _ledger(desk.settings) as ledger:
            found = await _look(desk, await ledger.doubts())
        desk.screen.show(*([_table(found), *_advice(found)] if found else ["nothing is in doubt"]))
        desk.screen.data(found)
        return Exit.NO if found else Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


def settle(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of the call, or its beginning, as `doubts` shows it.")],
    word: Annotated[Word, typer.Argument(metavar="CHOICE", help="happened, did_not_happen or write_off.")],
    *,
    by: By,
    evidence: Annotated[str, typer.Option("--evidence", help="What it rests on: a receipt, a ticket.")] = "",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Write down what became of a call whose task does not run any more. A running task is told by `answer`."""
    if not by.strip():
        raise CallerError("settle needs --by NAME: a person's word counts only with the name")

    async def verb(desk: Desk) -> Exit:
        async with _ledger(desk.settings) as ledger:
            row = _chosen(key, await ledger.doubts())
            if await _is_running(desk, row.task_id):
                raise Declined(f"the task {row.task_id!r} still runs and asks for this itself: use `answer`")
            _require_owner(_profiles(desk.settings).get(row.agent), by)
            settled = await rule(ledger, row, word, by=by.strip(), evidence=evidence)
        desk.screen.show(f"{visible(row.tool)} {row.key[:12]} is {settled.state} now, by the word of {visible(by)}")
        desk.screen.data(settled)
        return Exit.DONE

    at_the_desk(verb, config=config, as_json=as_json)


async def rule(ledger: Ledger, row: Row, word: Word, *, by: str, evidence: str) -> Row:
    """Settle a row by a person's word; it is on record before anything moves. Raises Declined when it moves itself."""
    said = {"request": "", "choice": word.value, "by": by[:200], "evidence": evidence[:2_000], "sends": row.sends}
    place = {"task_id": row.task_id, "step": row.step, "tool": row.tool, "key": row.key}
    await ledger.record(Line(**place, at=datetime.now(UTC), event="outcome.ruled", fields=said))
    text = f"{by} says {word.value}" + (f": {evidence[:1_000]}" if evidence else "")
    settled = await _settle(ledger, await _asked(ledger, row, text), word, text)
    if settled is None:
        raise Declined(f"the call {row.key[:12]} was settled by somebody else meanwhile; look again with `doubts`")
    return settled


async def _asked(ledger: Ledger, row: Row, why: str) -> Row | None:
    """Bring a row to where a person's word counts."""
    found: Row | None = row
    if row.state is RowState.IN_FLIGHT:
        found = await ledger.doubt(row.key, row.fence, why)
    if found is not None and found.state is RowState.IN_DOUBT:
        found = await ledger.move(found.key, found.fence, Move.ASK, why)
    return found


async def _settle(ledger: Ledger, row: Row | None, word: Word, text: str) -> Row | None:
    if row is None:
        return None
    match word:
        case Word.HAPPENED:
            receipt = Settlement(move=Move.SUCCEED, evidence=Evidence.PERSON, message=text)
            return await ledger.settle(row.key, row.fence, receipt)
        case Word.WRITE_OFF:
            given_up = Settlement(move=Move.WRITE_OFF, evidence=Evidence.PERSON, code="written_off", message=text)
            return await ledger.settle(row.key, row.fence, given_up)
        case Word.DID_NOT_HAPPEN:
            free = await ledger.move(row.key, row.fence, Move.ABSENT, text)
            return await ledger.move(free.key, free.fence, Move.CANCEL, text) if free else None


@asynccontextmanager
async def _ledger(settings: Settings) -> AsyncIterator[Ledger]:
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    async with open_ledger(settings.ledger) as ledger:
        yield ledger


def _chosen(key: str, rows: Sequence[Row]) -> Row:
    if len(key) < _SHORTEST_KEY:
        raise CallerError(f"{key!r} is too short for a key; give at least {_SHORTEST_KEY} characters of it")
    found = [row for row in rows if row.key.startswith(key)]
    if len(found) != 1:
        what = "several calls in doubt have keys that begin so" if found else "no call in doubt has this key"
        raise CallerError(f"{what}: {key!r}; `python starter.py doubts` lists them")
    return found[0]


async def _look(desk: Desk, rows: Sequence[Row]) -> list[Doubt]:
    profiles = _profiles(desk.settings)
    running = {task_id: await _is_running(desk, task_id) for task_id in {row.task_id for row in rows}}
    return [
        Doubt(
            **row.model_dump(include={"key", "task_id", "step", "tool", "state", "sends", "message"}),
            effect=row.effect.value,
            since=row.marked_at or row.opened_at,
            owner=profiles[row.agent].owner if row.agent in profiles else f"(the owner of {row.agent})",
            is_running=running[row.task_id],
        )
        for row in rows
    ]


def _profiles(settings: Settings) -> "Mapping[str, Profile]":
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries

    try:
        agents = load_agents(settings)
    except ConfigError:
        return {}
    return {name: agents.get(name).profile for name in agents.names()}


def _require_owner(profile: "Profile | None", by: str) -> None:
    """Let only those settle who may answer for the owner; anybody where nobody is known to, or the agent is gone."""
    if profile is None or not profile.owners:
        return
    above = [name for who in profile.ladder.escalate_to for name in profile.people.get(who) or (who,)]
    able = tuple(dict.fromkeys((*profile.owners, *above)))
    if as_person(by) not in {as_person(name) for name in able}:
        raise Declined(f"{by} may not settle a call of the agent {profile.agent}; {', '.join(able)} may")


async def _is_running(desk: Desk, task_id: str) -> bool:
    """Whether the task can be asked. One that Temporal does not know any more cannot. Raises Unreachable, RPCError."""
    try:
        return await desk.task(task_id).outcome() is None
    except CallerError:
        return False


def _table(found: Sequence[Doubt]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("key", "task", "call", "stands", "sent", "who finds out"):
        table.add_column(name, overflow="fold", no_wrap=name in ("key", "stands", "sent"))
    for one in found:
        who = one.owner if one.state is RowState.NEEDS_PERSON or not one.is_running else "the task, by itself"
        table.add_row(
            Text(one.key[:12], style="bold"),
            Text(visible(one.task_id)) + Text("" if one.is_running else "  (ended)", style="dim"),
            visible(f"{one.step} {one.tool} ({one.effect})"),
            Text(one.state.value, style="bold red" if one.state is RowState.NEEDS_PERSON else "yellow"),
            ago(one.since),
            visible(who),
        )
    return table


def _advice(found: Sequence[Doubt]) -> list[Text]:
    lines = ["a task that runs:  python starter.py answer TASK happened|did_not_happen|write_off --by NAME"]
    if any(not one.is_running for one in found):
        lines.append("one that ended:    python starter.py settle KEY happened|did_not_happen|write_off --by NAME")
    return [Text(line, style="dim") for line in ["", *lines]]
