"""What people see: nothing in it can hide, nothing in it is markup, and it has a size."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import names
from core.answers import CHOICES
from core.card import MAX_BYTES, arguments, card, fence, plain, request_card, visible
from core.messages import ApprovalNeeded, CancelRequested, OutcomeVerified, ToolRefused, ToolSucceeded
from core.record import Json
from core.task import Request, RequestKind
from core.views import MAX_BYTES as VIEW_BYTES
from core.views import request_views, result_view, state_view, status_view
from tests.core.story import START, Story, step

EVIL = "pay \u202eegral\u202c \x1b[31m\u200b\ufeff\u2028next\x00 <script>alert(1)</script> ```\n# x\n[a](b) {{x}} &lt;"
HIDING = "\u202e\u202d\u2066\u2069\u200b\u200d\ufeff\x1b\x00\x7f\u2028\u2029\ue000\U000e0041"


def asked(args: dict[str, Json] | None = None, **fields: Json) -> Request:
    return Request.model_validate(
        {
            "id": "q1",
            "kind": "approval",
            "tool": "pay",
            "args": args or {},
            "digest": "d" * 16,
            "choices": CHOICES[RequestKind.APPROVAL],
            "owner": "leads",
            "opened_at": START,
            **fields,
        }
    )


@pytest.mark.parametrize("char", HIDING)
def test_hiding_character_is_shown_as_an_escape(char: str) -> None:
    shown = visible(f"a{char}b")
    assert char not in shown
    assert f"{ord(char):04x}" in shown


@given(st.text())
def test_readable_text_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    if text.isprintable() and not any(char in HIDING for char in text):
        assert shown == text


@given(st.text())
def test_plain_text_has_no_markup(text: str) -> None:
    line = plain(f"{text} {EVIL}", 10_000)
    assert "\n" not in line
    bare = line.replace("\\\\", "")
    for char in "`*_[]<>#|~&":
        assert f"\\{char}" in bare or char not in bare
        assert char not in bare.replace(f"\\{char}", "")


@given(st.text(st.sampled_from("`a\n"), max_size=30))
def test_fence_cannot_be_closed_from_inside(text: str) -> None:
    first, *inside, last = fence(text).split("\n")
    assert last.strip("`") == ""
    assert first == f"{last}text"
    assert not any(last in line for line in inside)


def test_argument_cannot_draw_a_line_of_its_own() -> None:
    shown = arguments(asked({"a": "x\n  cents  1", "b\n  cents  1": 2, "cents": 900, "\u202e": 1}))
    assert len(shown.split("\n")) == 5
    assert "\u202e" not in shown


def test_long_argument_hides_none_after_it() -> None:
    shown = request_card(asked({"note": "x" * 100_000, "cents": 900}, origin={"/cents": "model"}))
    assert "900   (from model)" in shown
    assert "(100002 characters)" in shown


def test_origin_of_a_name_with_a_slash_is_found() -> None:
    assert "(from tool:look)" in arguments(asked({"a/b": 1}, origin={"/a~1b": "tool:look"}))


def test_more_arguments_than_can_be_shown_are_counted() -> None:
    assert "and 76 more arguments" in arguments(asked({f"a{n}": n for n in range(100)}))


def test_card_says_what_whom_until_when_and_how() -> None:
    story = Story().opened().plan(step("s1", "pay", cents=500), finish="ok")
    story.asks("r1.s1", rule="policy[2]", reason="large", approvers=("finance",), may_answer=("fay",), hint="pay 5.00")
    shown = card(story.state)
    for part in ("AWAITING\\_APPROVAL", "pay 5.00", "500", "policy\\[2\\]: large", "finance", "2026-03-02 09:00 UTC"):
        assert part.replace("\\_", "_") in shown or part in shown
    start = shown.index("```json") + 7
    pasted = json.loads(shown[start : shown.index("```", start)])
    assert story.say("approve", {**pasted, "by": "fay"}).state.requests == {}


def test_card_of_an_approval_that_cannot_be_given_is_a_rejection_to_paste() -> None:
    story = Story(spec={"requested_by": "fay"}).opened().plan(step("s1", "pay", cents=500), finish="ok")
    shown = card(story.asks("r1.s1", approvers=("fay",), may_reject=("lea",)).state)
    assert "choose `reject` and paste" in shown
    assert "choose `approve`" not in shown


def evil(story: Story) -> Story:
    """As much of everything as there can be, all of it hostile."""
    story.plan(*(step(f"s{n}", "pay", text=EVIL * 20) for n in range(1000)), finish=EVIL)
    for name in list(story.state.steps)[:30]:
        own = story.state.steps[name]
        args: dict[str, Json] = {f"{EVIL}{n}": EVIL * 500 for n in range(3)}
        bound = names.approval_digest(own.key, own.tool, args, own.terms.digest)
        facts: dict[str, Json] = {"x": EVIL * 300}
        texts = dict.fromkeys(("rule", "reason", "hint", "note"), EVIL * 50)
        story.tell(ApprovalNeeded(step=name, args=args, digest=bound, facts=facts, origin={EVIL: EVIL}, **texts))
    for name in list(story.state.steps)[30:60]:
        story.refused(name, EVIL, EVIL * 40)
    return story.say("approve", {"by": EVIL, "comment": EVIL})


def test_card_and_views_hold_their_sizes_whatever_is_in_them() -> None:
    limits = {"steps_per_plan": 1000, "steps": 1000, "parallel": 100}
    story = evil(Story(limits=limits, spec={"goal": EVIL * 90}).opened())
    assert len(card(story.state).encode()) < MAX_BYTES
    lines = [line for line in card(story.state).split("\n") if line.startswith(("**", "###"))]
    assert "<" not in "".join(lines).replace("\\<", "")
    requests = request_views(story.state)
    assert len(requests) == 30
    assert sum(len(one.model_dump_json().encode()) for one in requests) < VIEW_BYTES
    status_view(story.state).model_dump_json()
    shown = state_view(story.state)
    assert set(shown) == set(type(story.state).model_fields)
    assert len(json.dumps(shown)) <= VIEW_BYTES
    story.tell(CancelRequested())
    story.done(*(one.step for one in story.commands if hasattr(one, "step")), result=EVIL * 100)
    assert len(card(story.state).encode()) < MAX_BYTES
    assert len(result_view(story.state).model_dump_json().encode()) < VIEW_BYTES


def test_card_of_a_stuck_task_holds_its_size_whatever_failed() -> None:
    story = Story(limits={"rounds": 1, "steps": 1000, "steps_per_plan": 1000, "parallel": 100}).opened()
    story.plan(*(step(f"s{n}", "mail") for n in range(50)))
    for name in list(story.state.steps):
        story.refused(name, EVIL, EVIL * 40)
    assert story.request.cause == "rounds"
    assert len(card(story.state).encode()) < MAX_BYTES


def test_requests_show_what_hides_in_arguments_and_facts() -> None:
    story = Story().opened().plan(step("s1", "pay"), finish="ok")
    story.asks("r1.s1", args={"to\u202e": ["a\u200bb"]}, facts={"x": "\x1b"}, reason="\u202e", hint="\u2028")
    (view,) = request_views(story.state)
    assert view.args == {"to\\u202e": ["a\\u200bb"]}
    assert (view.facts, view.reason, view.hint) == ({"x": "\\u001b"}, "\\u202e", "\\u2028")
    assert view.digest == story.request.digest


def test_result_lists_effects_and_counts_what_it_leaves_out() -> None:
    limits = {"steps_per_plan": 300, "steps": 300, "parallel": 300}
    story = Story(limits=limits).opened().plan(*(step(f"s{n}", "pay") for n in range(300)), finish="ok")
    story.done(*(f"r1.s{n}" for n in range(300)), result="é" * 600).tell(OutcomeVerified(answer="é" * 100_000))
    result = result_view(story.state)
    assert len(result.effects) + result.not_shown == 300
    assert result.effects[-1].step == "r1.s299"
    assert len(result.model_dump_json().encode()) < VIEW_BYTES
    assert result.answer.endswith("(100000 characters)")


def test_result_tells_reads_doubts_and_receipts_apart() -> None:
    story = Story().opened().plan(step("s1"), step("s2", "pay"), step("s3", "mail"), finish="ok")
    story.done("r1.s1").tell(ToolSucceeded(step="r1.s2", result={"id": 1}, verified=False, approved_by=("fay",)))
    story.unknown("r1.s3").tell(CancelRequested()).say("answer", {"by": "lea", "choice": "write_off"})
    story.tell(ToolRefused(step="r1.s3", code="written_off", outcome="unknown", message="nobody knows"))
    result = result_view(story.state)
    paid, mailed = result.effects
    assert (paid.outcome, paid.result, paid.verified, paid.approved_by) == ("succeeded", {"id": 1}, False, ("fay",))
    assert mailed.outcome == "unknown"
    assert [(one.step, one.what) for one in result.open] == [("r1.s3", "nobody knows")]
    assert result.status.value == "CANCELLED"
