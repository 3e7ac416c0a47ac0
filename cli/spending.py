"""usage: what model calls took, summed up from the ledger."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.options import AsJson, ConfigPath
from cli.screen import Screen
from config.settings import load
from core.card import visible
from core.errors import CallerError
from core.spending import Grouping, UsageLine

_AGO = re.compile(r"([1-9][0-9]{0,4})([hd])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


def usage(
    *,
    by: Annotated[Grouping, typer.Option("--by", help="What to sum up by.")] = Grouping.MODEL,
    since: Annotated[
        str | None, typer.Option("--since", help="Only calls since then: 24h, 7d, 2026-01-31 or a time (UTC).")
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show what model calls took: tokens, dollars, cache hits and calls, per task, agent, tenant, model or day."""
    start = None if since is None else moment(since, datetime.now(UTC))
    settings, screen = load(config), Screen(as_json=as_json)
    lines = asyncio.run(_read(settings.ledger, by, start))
    screen.show(*([_table(lines, by), *_remark(lines)] if lines else ["no model calls"]))
    screen.data(lines)


async def _read(ledger_url: str, by: Grouping, since: datetime | None) -> list[UsageLine]:
    from ledger import open_ledger  # noqa: PLC0415 - brings the database library

    async with open_ledger(ledger_url) as ledger:
        return await ledger.usage(by, since)


def moment(text: str, now: datetime) -> datetime:
    """Read since when: so many hours or days ago, a date, or a time; without a zone it is UTC. Raises CallerError."""
    if found := _AGO.fullmatch(text.strip()):
        return now - int(found[1]) * _UNITS[found[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CallerError(
            f"--since {text[:60]!r} is no moment; write 24h, 7d, 2026-01-31 or 2026-01-31T09:00"
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _table(lines: Sequence[UsageLine], by: Grouping) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(by.value, overflow="fold", min_width=16)
    for name in ("calls", "answered", "cache hits", "input", "cached", "output", "cost", "not settled"):
        table.add_column(name, justify="right", no_wrap=True)
    total = [_total(lines)] if len(lines) > 1 else []
    for one in [*lines, *total]:
        table.add_row(Text(visible(one.group) or "(none named)", style="bold"), *_figures(one))
    return table


def _figures(one: UsageLine) -> list[str]:
    counts = (one.calls, one.answered, one.cache_hits, one.input_tokens, one.cached_tokens, one.output_tokens)
    unsettled = f"{one.unsettled_tokens:,} (${one.unsettled_usd:.4f})" if one.unsettled_tokens else ""
    return [*(f"{count:,}" for count in counts), f"${one.cost_usd:.4f}", unsettled]


def _total(lines: Sequence[UsageLine]) -> UsageLine:
    summed = {name: sum(getattr(line, name) for line in lines) for name in UsageLine.model_fields if name != "group"}
    return UsageLine(group="in all", **summed)


def _remark(lines: Sequence[UsageLine]) -> list[Text]:
    if not any(line.unsettled_tokens for line in lines):
        return []
    text = (
        "not settled: calls on their way, or whose answer was lost; budgets count them at the most they may have cost"
    )
    return [Text(text, style="dim")]
