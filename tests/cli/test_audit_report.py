from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from cli.audit_report import Sources, join
from cli.audit_view import audit_picture
from cli.live import step_line
from cli.passages import Passage, Spoken
from cli.task_view import effect_table
from core.contract import Effect
from core.receipts import Line, Row, RowState
from core.task import Phase, Step
from core.views import EffectView

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST = "t1:q1:d:ana"


def row(key: str, **changes: Any) -> Row:
    given: dict[str, Any] = {
        "key": key,
        "task_id": "t1",
        "step": "r1.buy",
        "intent": 1,
        "revision": 0,
        "agent": "shop",
        "tool": "buy",
        "effect": Effect.KEYED,
        "contract_digest": "c",
        "fingerprint": key,
        "similarity": key,
        "args": {},
        "state": RowState.SUCCEEDED,
        "fence": 1,
        "lease_until": NOON,
        "opened_at": NOON,
    }
    return Row(**(given | changes))


def visit(key: str, minutes: int = 0, **changes: Any) -> Passage:
    return Passage(activity="buy", step="r1.buy", key=key, at=NOON + timedelta(minutes=minutes), **changes)


def shown(picture: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(picture)
    return capture.get()


def test_every_row_is_shown_when_a_task_ran_again() -> None:
    later = NOON + timedelta(hours=1)
    first, second = row("k1", run_id="run-1"), row("k2", run_id="run-2", opened_at=later)
    line = Line(task_id="t1", at=NOON, event="call.noticed", step="r1.buy", tool="buy", key="k1")
    visits = (visit("k2", 60, attempts=3),)
    audit = join("t1", Sources(rows=(first, second), lines=(line,), passages=visits))
    assert [(one.step, one.key, one.run_id, one.attempts) for one in audit.steps] == [
        ("r1.buy", "k1", "run-1", 0),
        ("r1.buy", "k2", "run-2", 3),
    ]
    assert [len(one.lines) for one in audit.steps] == [1, 0]
    text = shown(audit_picture(audit, full=False))
    assert all(word in text for word in ("k1", "k2", "run-1", "run-2"))


def test_call_of_a_later_run_that_was_not_sent_leaves_the_row_of_the_first_alone() -> None:
    answer = {"kind": "ToolSucceeded", "already": True, "of": "r1.buy"}
    audit = join("t1", Sources(rows=(row("k1"),), passages=(visit("k2", 60, answer=answer),)))
    assert [(one.key, one.attempts) for one in audit.steps] == [("k1", 0), ("k2", 1)]
    assert "nothing sent: r1.buy had done this" in shown(audit_picture(audit, full=False))


def test_line_about_a_call_of_which_nothing_else_is_known_is_shown_with_its_key() -> None:
    line = Line(task_id="t1", at=NOON, event="call.denied", step="r1.buy", tool="buy", key="k9")
    assert "r1.buy buy (key k9)  call.denied" in shown(audit_picture(join("t1", Sources(lines=(line,))), full=False))


def told(minutes: int, event: str, **fields: Any) -> Line:
    at = NOON + timedelta(minutes=minutes)
    return Line(task_id="t1", at=at, event=event, step="r1.buy", tool="buy", key="k1", fields=fields)


def test_ruling_that_freed_the_next_send_is_told_once() -> None:
    word = {"request": "q1", "choice": "did_not_happen", "by": "leo", "evidence": ""}
    lines = [told(minutes, "outcome.ruled", **word, sends=sends) for minutes, sends in ((1, 1), (2, 1), (3, 2))]
    (step,) = join("t1", Sources(rows=(row("k1", sends=2),), lines=tuple(lines))).steps
    assert [(one.at.minute, one.fields["sends"]) for one in step.lines] == [(1, 1), (3, 2)]


def test_dispatch_of_which_nothing_left_is_no_send() -> None:
    kinds = (("not_sent", "connect"), ("unknown", "timeout"), ("refused", "declined"))
    lines = [told(n, "send.failed", send=n, certainty=kind, code=code) for n, (kind, code) in enumerate(kinds, 1)]
    report = join("t1", Sources(rows=(row("k1", sends=3),), lines=tuple(lines)))
    assert [one.sends for one in report.steps] == [2]


def test_effect_that_an_earlier_call_had_done_says_that_nothing_was_sent() -> None:
    effect = EffectView(step="r1.buy", tool="buy", key="k", outcome="succeeded", already=True)
    assert "nothing sent: an earlier call had done this" in shown(effect_table([effect]))
    step = cast("Step", SimpleNamespace(id="r1.buy", tool="buy", phase=Phase.SUCCEEDED, already=True))
    assert step_line(step).endswith("(nothing sent: an earlier call had done this)")


def test_only_what_is_shown_to_have_counted_is_said_to_have() -> None:
    given = {"request_id": REQUEST, "digest": "d", "by": "ana"}
    said = (
        Spoken(at=NOON, form="approve", payload="eve"),
        Spoken(at=NOON, form="reject", payload="ana"),
        Spoken(at=NOON, form="approve", payload="ana"),
        Spoken(at=NOON + timedelta(minutes=9), form="approve", payload="ana"),
        Spoken(at=NOON, form="decide", payload={"by": "leo", "choice": "end"}, counted=True),
    )
    audit = join("t1", Sources(rows=(row("k1"),), passages=(visit("k1", 5, approvals=(given,)),), spoken=said))
    assert [one.counted for one in audit.people] == [False, False, True, False, True]
    lines = shown(audit_picture(audit, full=False)).partition("People")[2].strip().splitlines()
    assert ["(counted)" in line for line in lines] == [False, False, True, False, True]
    assert "approve  eve  (not known to have counted)" in lines[0]
