"""What can be known of a storm afterwards, from every book there is: read here, judged in `checker`.

Nothing of the runtime is used: its ledger is a SQLite file, its histories are Temporal's.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from trials.storm.journal import read_journal
from trials.storm.truth import Kind

OPEN_STATES = frozenset({"IN_FLIGHT", "IN_DOUBT", "NEEDS_PERSON"})
"""States of the ledger in which nobody knows the outcome yet."""

_UNDO = ".undo"

_APPLIED = "select memo, account, amount_cents, kind, key, at from applications order by id"
_BOOKED = "select memo, account, amount_cents, ?, '', coalesce(at, 0) from transfers order by id"
_ROWS = """
    select key, task_id, step, tool, effect, args, state, sends, written_off, evidence, approved_by, message,
           marked_at, settled_at from lastmile_effects order by seq
"""
_APPROVALS = "select request_id, key, answers from lastmile_approvals"


@dataclass(frozen=True, slots=True)
class Application:
    """Something that really happened. `at`: seconds since 1970. `key` "" where the book knows no keys."""

    memo: str
    account: str
    amount_cents: int
    kind: str
    key: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One effect as the ledger has it. `memo`: of the effect, or of what an undo takes back, with `is_undo`."""

    key: str
    task_id: str
    step: str
    tool: str
    kind: str
    memo: str
    state: str
    is_undo: bool = False
    sends: int = 1
    written_off: bool = False
    evidence: str = ""
    approved_by: tuple[str, ...] = ()
    message: str = ""
    marked_at: float | None = None
    settled_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody knows the outcome yet."""
        return self.state in OPEN_STATES

    @property
    def is_known_possible(self) -> bool:
        """Whether the ledger says that it happened, or may have."""
        return self.state == "SUCCEEDED" or self.is_open or self.written_off


@dataclass(frozen=True, slots=True)
class Consumed:
    """An approval that the ledger says was used: for the call `key`, by these people."""

    request: str
    key: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the result of a task says of one of its effects. `already`: an earlier call had done it."""

    key: str
    outcome: str
    tool: str = ""
    already: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer that stands in a task's history: signal or accepted update."""

    by: str
    request: str
    choice: str
    digest: str


@dataclass(frozen=True, slots=True)
class End:
    """How a task stands when all is over. `status`: RUNNING, TERMINATED, or the runtime's own word.

    ``waiting_for``: whom it names while it runs. ``wedged``: why its last workflow task failed, where it did: such a
    task takes in nothing any more, whomever it names.
    """

    task_id: str
    status: str
    reason: str = ""
    waiting_for: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    heard: tuple[Heard, ...] = ()
    runs: int = 1
    wedged: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "RUNNING"


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said (whether or not it was taken). ``shown``: the arguments that they saw."""

    at: float
    task_id: str
    memo: str
    by: str
    choice: str
    request: str = ""
    digest: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def allows(self) -> bool:
        """Whether it is a yes."""
        return self.choice in ("approve", "edit")

    @property
    def allowed(self) -> dict[str, Any]:
        """The arguments that the yes was for."""
        return {**self.shown, **self.changed}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people: when, about which task, to whom."""

    at: float
    task_id: str
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it. ``asked``: tasks in which people were asked something besides approvals."""

    applications: Sequence[Application] = ()
    rows: Sequence[Row] = ()
    consumed: Sequence[Consumed] = ()
    ends: Mapping[str, End] = field(default_factory=dict)
    said: Sequence[Said] = ()
    asked: frozenset[str] = frozenset()
    notices: Sequence[Notice] = ()


def read_bank(path: Path) -> list[Application]:
    """Read the bank's book."""
    return [Application(*row) for row in _select(path, _APPLIED)]


def read_tools(path: Path) -> list[Application]:
    """Read the tools' own database."""
    return [Application(*row) for row in _select(path, _BOOKED, Kind.TRANSACTIONAL.value)]


def read_rows(path: Path) -> list[Row]:
    """Read every effect of the ledger's file."""
    return [_row(dict(row)) for row in _select(path, _ROWS)]


def read_consumed(path: Path) -> list[Consumed]:
    """Read the approvals that the ledger has consumed."""
    return [
        Consumed(request, key, tuple(one["by"] for one in json.loads(answers)))
        for request, key, answers in _select(path, _APPROVALS)
    ]


def read_people(path: Path) -> tuple[list[Said], frozenset[str], list[Notice]]:
    """Read the people's journal: what they said, which tasks asked them more than approvals, which notices came."""
    said, asked, notices = [], set(), []
    for _, line in read_journal(path):
        match line["who"], line["what"]:
            case "people", "says":
                said.append(_said(line))
            case "people", "seen" if line["request"]["kind"] != "approval":
                asked.add(line["task"])
            case "notice", "came":
                notices.append(Notice(line["at"], line["task"], line["to"], line["text"]))
    return said, frozenset(asked), notices


def _said(line: Mapping[str, Any]) -> Said:
    payload = line["payload"]
    return Said(
        at=line["at"],
        task_id=line["task"],
        memo=line["memo"],
        by=payload.get("by", ""),
        choice=payload.get("choice", ""),
        request=payload.get("request_id", ""),
        digest=payload.get("digest", ""),
        shown=line["shown"]["args"],
        changed=payload.get("args") or {},
    )


def _row(found: Mapping[str, Any]) -> Row:
    is_undo = found["tool"].endswith(_UNDO)
    given = json.loads(found["args"])
    given = given.get("args", {}) if is_undo else given
    same = {name: found[name] for name in ("key", "task_id", "step", "tool", "state", "sends", "message")}
    return Row(
        **same,
        kind=found["effect"],
        memo=str(given.get("memo", "")),
        is_undo=is_undo,
        written_off=bool(found["written_off"]),
        evidence=found["evidence"] or "",
        approved_by=tuple(json.loads(found["approved_by"])),
        marked_at=_seconds(found["marked_at"]),
        settled_at=_seconds(found["settled_at"]),
    )


def _seconds(instant: str | None) -> float | None:
    return None if instant is None else datetime.fromisoformat(instant).timestamp()


def _select(path: Path, query: str, *values: Any) -> Iterable[sqlite3.Row]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        return db.execute(query, values).fetchall()
