"""The checker is shown each sin once, on made-up books: what it cannot see here, it could not see in a storm."""

import ast
import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from ledger.tables import metadata
from trials.storm.checker import Judgement, Sin, Sort, judge
from trials.storm.evidence import (
    Application,
    Claim,
    Consumed,
    End,
    Evidence,
    Heard,
    Notice,
    Row,
    Said,
    read_bank,
    read_consumed,
    read_people,
    read_rows,
)
from trials.storm.journal import Journal
from trials.storm.truth import TOOLS, EffectTruth, Fate, Kind, Says, TaskTruth, Truth, Why

STORM = Path(__file__).parents[2] / "trials" / "storm"
TASK, MEMO, KEY, ACCOUNT = "T1", "T1-1", "a" * 32, "ACC-1"
SHOWN = {"memo": MEMO, "account": ACCOUNT, "amount_cents": 500}


def effect(**changes: Any) -> EffectTruth:
    kind = changes.get("kind", Kind.KEYED)
    return EffectTruth(
        **{
            "memo": MEMO,
            "kind": kind,
            "tool": TOOLS[kind],
            "account": ACCOUNT,
            "amount_cents": 500,
            "planned_cents": 500,
            "fate": Fate.ONCE,
            **changes,
        }
    )


def truth(*effects: EffectTruth, ends: tuple[str, ...] = ("COMPLETED",)) -> Truth:
    task = TaskTruth(
        task_id=TASK,
        agent="desk",
        shape="made up",
        goal="pay",
        inputs={},
        requested_by="rita",
        effects=effects or (effect(),),
        ends=ends,
    )
    return Truth(seed=1, tasks=(task,))


ASKED = effect(needs=("ana",), says=Says.APPROVE, fate=Fate.ONCE_IF_APPROVED)
APPLIED = Application(MEMO, ACCOUNT, 500, "keyed", KEY, at=100.0)
ROW = Row(KEY, TASK, "r1.s1", "transfer_keyed", "keyed", MEMO, "SUCCEEDED", evidence="answer", marked_at=99.0)
END = End(TASK, "COMPLETED", claims=(Claim(KEY, "succeeded", "transfer_keyed"),))
YES = Said(98.0, TASK, MEMO, "ana", "approve", "q1", "d1", shown=SHOWN)
USED = Consumed("T1:q1:d1:ana", KEY, ("ana",))
HEARD = replace(END, heard=(Heard("ana", "q1", "approve", "d1"),))


def evidence(**changes: Any) -> Evidence:
    return Evidence(**{"applications": [APPLIED], "rows": [ROW], "ends": {TASK: END}, **changes})


def allowed(**changes: Any) -> Evidence:
    return evidence(**{"said": [YES], "consumed": [USED], "ends": {TASK: HEARD}, **changes})


def sorts(judgement: Judgement) -> list[Sort]:
    return [sin.sort for sin in judgement.sins]


def only(judgement: Judgement, sort: Sort) -> Sin:
    assert sorts(judgement) == [sort]
    assert judgement.count(sort) == 1
    return judgement.sins[0]


def test_what_happened_once_as_it_should_is_no_sin() -> None:
    judgement = judge(truth(), evidence())
    assert judgement.sins == ()
    assert judgement.doubts == ()
    assert judgement.applications == 1


def test_what_was_approved_by_the_right_person_is_no_sin() -> None:
    assert judge(truth(ASKED), allowed()).sins == ()


# ------------------------------------------------------------------------------------------------------- duplicates


def test_two_applications_of_one_memo_are_a_duplicate_whatever_their_keys() -> None:
    other = replace(ROW, key="b" * 32)
    twice = evidence(applications=[APPLIED, replace(APPLIED, key="b" * 32, at=101.0)], rows=[ROW, other])
    assert "2 times" in only(judge(truth(), twice), Sort.DUPLICATE).what


# ------------------------------------------------------------------------------------------------------------- lost


def test_a_completed_task_without_its_effect_has_lost_it() -> None:
    silent = evidence(applications=[], rows=[], ends={TASK: End(TASK, "COMPLETED")})
    assert only(judge(truth(), silent), Sort.LOST).memo == MEMO


def test_an_effect_of_a_failed_task_is_lost_when_nobody_was_asked() -> None:
    failed = evidence(applications=[], rows=[], ends={TASK: End(TASK, "FAILED")})
    may_fail = truth(ends=("FAILED",))
    assert "nobody was asked" in only(judge(may_fail, failed), Sort.LOST).what
    assert judge(may_fail, replace(failed, asked=frozenset([TASK]))).sins == ()


def test_an_approved_effect_that_never_happened_is_lost() -> None:
    silent = allowed(applications=[], rows=[], consumed=[], ends={TASK: End(TASK, "COMPLETED")})
    only(judge(truth(ASKED), silent), Sort.LOST)
    assert judge(truth(ASKED), replace(silent, said=[])).sins == ()


# --------------------------------------------------------------------------------------------------- false receipts


def test_a_ledger_that_says_succeeded_of_nothing_is_a_false_receipt() -> None:
    cut_off = truth(effect(fate=Fate.AT_MOST_ONCE))
    false = evidence(applications=[], ends={TASK: End(TASK, "COMPLETED")})
    assert KEY in only(judge(cut_off, false), Sort.FALSE_RECEIPT).what


def test_a_result_that_says_succeeded_of_nothing_is_a_false_receipt() -> None:
    cut_off = truth(effect(fate=Fate.AT_MOST_ONCE))
    false = evidence(applications=[], rows=[replace(ROW, state="CANCELLED")])
    assert "result" in only(judge(cut_off, false), Sort.FALSE_RECEIPT).what


def test_a_result_may_tell_of_what_an_earlier_call_had_done() -> None:
    earlier = End(TASK, "COMPLETED", claims=(Claim("c" * 32, "succeeded", "transfer_keyed", already=True),))
    assert judge(truth(), evidence(ends={TASK: earlier})).sins == ()
    never = replace(earlier, claims=(Claim("c" * 32, "succeeded", "transfer_plain", already=True),))
    only(judge(truth(), evidence(ends={TASK: never})), Sort.FALSE_RECEIPT)


# --------------------------------------------------------------------------------------------------------- phantoms


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "RESERVED"])
def test_what_happened_though_the_ledger_denies_it_is_a_phantom(state: str) -> None:
    denied = evidence(rows=[replace(ROW, state=state)], ends={TASK: End(TASK, "COMPLETED")})
    assert state in only(judge(truth(), denied), Sort.PHANTOM).what


def test_what_the_ledger_knows_nothing_of_is_a_phantom() -> None:
    unknown = evidence(rows=[], ends={TASK: End(TASK, "COMPLETED")})
    assert "nothing" in only(judge(truth(), unknown), Sort.PHANTOM).what


def test_a_phantom_is_seen_by_its_key_behind_another_call_that_succeeded() -> None:
    other = replace(ROW, key="b" * 32, state="CANCELLED")
    twice = evidence(applications=[APPLIED, replace(APPLIED, key="b" * 32)], rows=[ROW, other])
    assert sorts(judge(truth(), twice)) == [Sort.DUPLICATE, Sort.PHANTOM]


@pytest.mark.parametrize("row", [replace(ROW, state="IN_DOUBT"), replace(ROW, state="FAILED", written_off=True)])
def test_what_the_ledger_leaves_open_is_no_phantom(row: Row) -> None:
    assert judge(truth(), evidence(rows=[row], ends={TASK: End(TASK, "COMPLETED")})).sins == ()


# --------------------------------------------------------------------------------------------------- wrong payloads


@pytest.mark.parametrize(
    ("change", "what"),
    [({"amount_cents": 501}, "501 cents"), ({"account": "ACC-2"}, "ACC-2"), ({"kind": "plain"}, "as")],
)
def test_another_amount_account_or_kind_is_a_wrong_payload(change: Mapping[str, Any], what: str) -> None:
    assert what in only(judge(truth(), evidence(applications=[replace(APPLIED, **change)])), Sort.WRONG_PAYLOAD).what


def test_what_nobody_wanted_is_a_wrong_payload_and_a_phantom() -> None:
    stray = Application("T9-9", ACCOUNT, 1, "keyed")
    assert sorts(judge(truth(), evidence(applications=[APPLIED, stray]))) == [Sort.PHANTOM, Sort.WRONG_PAYLOAD]


def test_what_differs_from_what_was_approved_is_a_wrong_payload() -> None:
    other = replace(YES, shown={**SHOWN, "amount_cents": 400})
    assert "exactly this" in only(judge(truth(ASKED), allowed(said=[other])), Sort.WRONG_PAYLOAD).what


def test_what_somebody_changed_in_approving_it_is_what_was_approved() -> None:
    edited = replace(YES, choice="edit", shown={**SHOWN, "amount_cents": 400}, changed={"amount_cents": 500})
    heard = replace(END, heard=(Heard("ana", "q1", "edit", "d1"),))
    assert judge(truth(ASKED), allowed(said=[edited], ends={TASK: heard})).sins == ()


# ----------------------------------------------------------------------------------------------------- unauthorised


@pytest.mark.parametrize("why", [Why.DENIED, Why.REJECTED, Why.OVER_CAP])
def test_what_must_never_happen_is_unauthorised(why: Why) -> None:
    never = truth(effect(fate=Fate.NEVER, why=why))
    assert why.value in only(judge(never, evidence()), Sort.UNAUTHORISED).what


def test_a_yes_of_somebody_without_the_right_is_none() -> None:
    wrong = allowed(said=[replace(YES, by="mallory")])
    assert "ana" in only(judge(truth(ASKED), wrong), Sort.UNAUTHORISED).what


def test_a_yes_that_came_after_the_deed_is_none() -> None:
    only(judge(truth(ASKED), allowed(said=[replace(YES, at=100.5)])), Sort.UNAUTHORISED)


def test_a_send_upon_the_word_of_somebody_without_the_right_is_unauthorised() -> None:
    heard = replace(END, heard=(*HEARD.heard, Heard("mallory", "q1", "approve", "d1")))
    wrong = allowed(consumed=[replace(USED, by=("mallory",))], ends={TASK: heard})
    assert "mallory" in only(judge(truth(ASKED), wrong), Sort.UNAUTHORISED).what


def test_a_send_without_an_approval_of_its_own_is_unauthorised() -> None:
    assert "no approval" in only(judge(truth(ASKED), allowed(consumed=[])), Sort.UNAUTHORISED).what


def test_one_approval_for_two_calls_is_used_twice() -> None:
    second = replace(ROW, key="b" * 32, state="FAILED")
    twice = allowed(rows=[ROW, second], consumed=[USED, replace(USED, key="b" * 32)])
    assert "for 2 calls" in only(judge(truth(ASKED), twice), Sort.UNAUTHORISED).what


def test_an_approval_that_no_history_shows_is_unauthorised() -> None:
    assert "history" in only(judge(truth(ASKED), allowed(ends={TASK: END})), Sort.UNAUTHORISED).what


# ------------------------------------------------------------------------------------------- stuck, ends and doubts


def test_a_task_that_waits_for_nobody_is_stuck() -> None:
    running = End(TASK, "RUNNING")
    only(judge(truth(), evidence(ends={TASK: running})), Sort.STUCK)
    assert judge(truth(), evidence(ends={TASK: replace(running, waiting_for=("olga",))})).sins == ()


def test_a_task_that_cannot_take_in_an_answer_is_stuck_whomever_it_names() -> None:
    wedged = End(TASK, "RUNNING", waiting_for=("olga",), wedged="nondeterminism")
    assert "nondeterminism" in only(judge(truth(), evidence(ends={TASK: wedged})), Sort.STUCK).what


def test_a_task_that_the_server_does_not_know_is_stuck() -> None:
    only(judge(truth(), evidence(ends={})), Sort.STUCK)


def test_an_end_that_the_truth_does_not_allow_is_seen() -> None:
    failed = replace(END, status="FAILED", reason="no plan")
    assert "no plan" in only(judge(truth(), evidence(ends={TASK: failed})), Sort.WRONG_END).what


@pytest.mark.parametrize("state", ["IN_FLIGHT", "IN_DOUBT", "NEEDS_PERSON"])
def test_an_open_doubt_is_counted_by_its_kind_without_a_name_when_nobody_knows(state: str) -> None:
    (doubt,) = judge(truth(), evidence(rows=[replace(ROW, state=state)])).doubts
    assert (doubt.kind, doubt.state, doubt.named) == ("keyed", state, "")


def test_a_doubt_is_named_by_the_task_that_waits_or_by_a_notice_of_its_key() -> None:
    row = replace(ROW, state="NEEDS_PERSON")
    waits = evidence(rows=[row], ends={TASK: End(TASK, "RUNNING", waiting_for=("olga", "otto"))})
    assert judge(truth(), waits).doubts[0].named == "olga, otto"
    told = evidence(rows=[row], notices=[Notice(120.0, TASK, "desk", f"settle {KEY}")])
    assert judge(truth(), told).doubts[0].named == "desk"


def test_the_time_until_a_person_is_named_counts_from_the_send() -> None:
    row = replace(ROW, kind="unrepeatable", tool="transfer_plain", evidence="person")
    notice = Notice(112.5, TASK, "desk", "T1 waits for you (outcome q1: transfer_plain)")
    of_another = replace(notice, at=101.0, text="T1 waits for you (approval q1: transfer_plain)")
    assert judge(truth(), evidence(rows=[row], notices=[of_another, notice])).delays == (13.5,)
    assert judge(truth(), evidence(rows=[row])).delays == (float("inf"),)


# -------------------------------------------------------------------------------------------------- reading the books


def test_the_ledger_is_read_as_its_own_tables_are(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    engine = create_engine(f"sqlite:///{file}")
    metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(
            "insert into lastmile_effects (key, task_id, step, intent, revision, agent, tool, effect, contract_digest, "
            "fingerprint, similarity, args, origin, run_id, state, fence, lease_until, sends, doubtful, code, message, "
            "size, evidence, approved_by, written_off, opened_at, marked_at) values (?, ?, 'r1.s1', 1, 1, 'desk', "
            "'transfer_keyed.undo', 'keyed', '', '', '', ?, '{}', 'run', 'SUCCEEDED', 1, '', 1, 0, '', '', 0, "
            "'answer', '[\"ana\"]', 0, '', '1970-01-01T00:01:39.000000+00:00')",
            (KEY, TASK, json.dumps({"args": SHOWN, "result": None})),
        )
        answers = json.dumps([{"by": "ana", "request_id": "T1:q1:d1:ana"}])
        db.execute("insert into lastmile_approvals values ('T1:q1:d1:ana', ?, ?, '')", (KEY, answers))
    undo = replace(ROW, tool="transfer_keyed.undo", is_undo=True, approved_by=("ana",))
    assert read_rows(file) == [undo]
    assert read_consumed(file) == [USED]


def test_the_banks_book_is_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bank.db")) as db, db:
        db.execute("create table applications (id integer primary key, memo, account, amount_cents, kind, key, at)")
        db.execute("insert into applications values (1, ?, ?, 500, 'keyed', ?, 100.0)", (MEMO, ACCOUNT, KEY))
    assert read_bank(tmp_path / "bank.db") == [APPLIED]


def test_the_peoples_journal_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "people.jsonl")
    journal.write("people", "seen", task="T2", request={"kind": "stuck"})
    journal.write("people", "seen", task=TASK, request={"kind": "approval"})
    payload = {"request_id": "q1", "digest": "d1", "by": "ana", "choice": "approve"}
    journal.write("people", "says", task=TASK, memo=MEMO, way="update", payload=payload, shown={"args": SHOWN})
    journal.write("notice", "came", task=TASK, to="finance", text="look")
    journal.close()
    with (tmp_path / "people.jsonl").open("a") as file:
        file.write('{"at": 1, "who": "people", "wh')
    said, asked, notices = read_people(tmp_path / "people.jsonl")
    assert [replace(one, at=98.0) for one in said] == [YES]
    assert asked == {"T2"}
    assert [(one.task_id, one.to) for one in notices] == [(TASK, "finance")]


def test_the_checker_shares_no_code_with_the_runtime() -> None:
    seen, todo = set[str](), ["checker", "evidence", "histories"]
    outside = set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        for module in _imports(STORM / f"{name}.py"):
            if module.startswith("trials.storm."):
                todo += [inner] if (inner := module.split(".")[2]) not in seen else []
            elif module.partition(".")[0] not in sys.stdlib_module_names:
                outside.add(module.partition(".")[0])
    assert outside == {"pydantic", "temporalio"}
    assert seen == {"checker", "evidence", "histories", "journal", "truth"}


def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.append(node.module or "")
    return found
