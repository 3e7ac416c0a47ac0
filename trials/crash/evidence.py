"""Gathers how a cell ended: at the provider, in the ledger, in Temporal."""

import json
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus

from core.contract import Effect
from core.receipts import Row
from core.record import Json
from ledger import SqlLedger, open_ledger
from trials.crash.judging import Found
from trials.crash.stage import Props


async def find(client: Client, props: Props, asked: frozenset[str], exit_code: int | None) -> Found:
    """Look everywhere once."""
    counts = await props.counts()
    handle = client.get_workflow_handle(props.task_id)
    status = (await handle.describe()).status
    result = await handle.result() if status is WorkflowExecutionStatus.COMPLETED else {}
    async with open_ledger(f"sqlite:///{props.folder}/ledger.db") as ledger:
        rows = await ledger.rows(props.task_id)
        lines = [line async for line in ledger.lines(props.task_id)]
        observed = [line.fields for line in lines if line.event == "tool.observed"]
        kept = [await _size_of(ledger, kept) for kept in [*map(_kept_in_row, rows), *observed]]
    return Found(
        applied=counts.applied,
        requests=counts.requests,
        probes=counts.probes,
        states=tuple(row.state for row in rows),
        evidence=tuple(row.evidence for row in rows),
        status=status.name if status is not None else "?",
        asked=asked,
        alarmed=any(line.event == "doubt.alarmed" for line in lines),
        kept=max(kept, default=0),
        told=_told(result, props.cell.kind),
        exit=exit_code,
    )


def _kept_in_row(row: Row) -> dict[str, Json]:
    return {"blob": row.blob, "result": row.result}


async def _size_of(ledger: SqlLedger, kept: dict[str, Json]) -> int:
    """Return how many bytes of a result are stored."""
    if kept.get("blob"):
        return len(await ledger.fetch(kept["blob"]) or b"")
    return len(json.dumps(kept.get("result"), ensure_ascii=False))


def _told(result: Any, kind: Effect) -> str:
    """Return how the task's own result says that its last effect ended."""
    effects = result.get("effects", []) if kind is not Effect.READ else []
    return str(effects[-1]["outcome"]) if effects else ""
