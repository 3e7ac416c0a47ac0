"""The card of a request on a terminal."""

from typing import Any

from rich.console import Console

from cli.request_view import request_panel
from core.views import RequestView


def card(**fields: Any) -> str:
    shown = {"id": "q1", "kind": "approval", "tool": "pay", "args": {"cents": 5}, "digest": "d" * 16, **fields}
    request = RequestView.model_validate({**BLANK, **shown})
    console = Console(width=100)
    with console.capture() as capture:
        console.print(request_panel("t1", request))
    return capture.get()


BLANK = {
    "step": "r1.s1",
    "origin": {},
    "facts": {},
    "rule": "",
    "reason": "",
    "why": "",
    "hint": "",
    "note": "",
    "owner": "desk",
    "approvers": [],
    "may_answer": [],
    "quorum": 1,
    "given": [],
    "choices": [],
    "opened_at": "2026-01-05T12:00:00Z",
    "remind_at": None,
    "escalate_at": None,
    "expires_at": None,
    "resumes_at": None,
}


def test_approval_that_nobody_is_left_to_give_shows_the_way_out() -> None:
    shown = card(approvers=["ana"])
    assert "nobody: of ana, only who asked for the task could" in shown
    assert "starter.py cancel t1" in shown
    assert "starter.py approve" not in shown


def test_approval_that_nobody_is_left_to_give_shows_who_may_reject_it() -> None:
    shown = card(approvers=["ana"], may_reject=["lea"])
    assert "only who asked for the task could; lea may reject it" in shown
    assert "starter.py reject t1 --request q1 --by lea --comment WHY" in shown
    assert "starter.py approve" not in shown
    assert "starter.py cancel" not in shown


def test_origin_that_is_not_known_is_not_made_up() -> None:
    assert "from" not in card()
    assert "from request" in card(origin={"/cents": "request"})


def test_doubt_says_which_answer_sends_the_call_again() -> None:
    shown = card(kind="outcome", choices=["happened", "did_not_happen", "write_off"])
    assert "did_not_happen sends it again, at once" in shown
