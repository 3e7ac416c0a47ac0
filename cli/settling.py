"""What `show` tells of a task's calls in doubt: how often each was sent, and what happens next. From the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from cli.opening import Desk
from cli.screen import ago
from config.settings import Settings
from core.card import visible
from core.contract import Contract
from core.errors import CallerError, ConfigError, LedgerDown
from core.outlook import is_in_doubt, outlook
from core.receipts import Row
from core.record import Record


class InDoubt(Record):
    """A call that was sent, whose outcome is being found out. `since`: its last send; `next`: in words."""

    step: str
    tool: str
    key: str
    sends: int
    since: datetime
    next: str


async def calls_in_doubt(desk: Desk, task_id: str) -> list[InDoubt]:
    """Look up a task's calls in doubt; none where the ledger cannot be read from here."""
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    ledger, now = open_ledger(desk.settings.ledger), datetime.now(UTC)
    try:
        rows = [row for row in await ledger.rows(task_id) if is_in_doubt(row, now)]
    except LedgerDown:
        return []
    finally:
        await ledger.close()
    contracts = _contracts(desk.settings, rows)
    return [_in_doubt(row, contracts.get(row.key), now) for row in rows]


def _in_doubt(row: Row, contract: Contract | None, now: datetime) -> InDoubt:
    told = {"sends": row.sends, "since": row.marked_at or row.opened_at, "next": outlook(row, contract, now)}
    return InDoubt(step=row.step, tool=row.tool, key=row.key, **told)


def _contracts(settings: Settings, rows: Sequence[Row]) -> dict[str, Contract]:
    """Return the contract of each row's tool, by the row's key, as far as agents can be loaded here."""
    if not rows:
        return {}
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries

    agents = load_agents(settings)
    found: dict[str, Contract] = {}
    for row in rows:
        try:
            tool = agents.get(row.agent).tools.get(row.tool)
        except (CallerError, ConfigError):
            continue
        if tool is not None:
            found[row.key] = tool.contract
    return found


def lines_of(found: Sequence[InDoubt]) -> list[Text]:
    """Write a line for each call in doubt, apart from what stands before."""
    return [Text(f"\n{visible(_line(one))}", style="yellow") for one in found]


def _line(one: InDoubt) -> str:
    times = "once" if one.sends == 1 else f"{one.sends} times"
    sent = f"{one.step} {one.tool} was sent {times}, last {ago(one.since)}, and its outcome is not known"
    return f"{sent}: {one.next}"
