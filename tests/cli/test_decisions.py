from tests.cli.conftest import CommandLine, Shop
from tests.cli.waiting import until


def ask(cli: CommandLine, task_id: str, count: int = 50, *more: str) -> None:
    """Start a task that waits for an approval."""
    cli("run", "shop", "buy tea", "--id", task_id, "--input", "what=tea", "--input", f"count={count}", *more)
    until(cli, task_id, "AWAITING_APPROVAL")


def test_approval_shows_what_is_approved_and_the_task_completes(cli: CommandLine, shop: Shop) -> None:
    ask(cli, "yes-1")
    ran = cli("approve", "yes-1", "--by", "ana", "--comment", "fine")
    assert ran.code == 0
    assert "buy 50 tea" in ran.out
    assert "from request" in ran.out
    assert cli("watch", "yes-1").code == 0
    assert shop.bought("yes-1") == ["tea 50"]


def test_refused_answer_exits_1_with_the_reason(cli: CommandLine, shop: Shop) -> None:
    ask(cli, "no-1", 51, "--by", "ana")
    for who, why in (("eve", "eve may not answer"), ("ana", "ana may not answer"), ("", "say who you are")):
        ran = cli("approve", "no-1", "--by", who)
        assert ran.code == 1
        assert why in ran.err
    assert shop.bought("no-1") == []
    cli("cancel", "no-1")


def test_rejection_ends_the_task_and_watch_exits_1(cli: CommandLine, shop: Shop) -> None:
    ask(cli, "no-2")
    assert cli("reject", "no-2", "--by", "ana", "--comment", "too much").code == 0
    watched = cli("watch", "no-2")
    assert watched.code == 1
    assert "REJECTED" in watched.out
    assert "too much" in watched.out
    assert shop.bought("no-2") == []


def test_rejection_with_an_instruction_plans_again(cli: CommandLine) -> None:
    ask(cli, "no-3")
    cli("reject", "no-3", "--by", "ana", "--replan", "buy less")
    seen = until(cli, "no-3", "AWAITING_APPROVAL")
    assert seen["round"] == 2
    cli("cancel", "no-3")


def test_approval_with_other_arguments_buys_these(cli: CommandLine, shop: Shop) -> None:
    ask(cli, "edit-1")
    ran = cli("approve", "edit-1", "--by", "ana", "--args", '{"count": 20}', "--json")
    assert (ran.code, ran.json["accepted"]) == (0, True)
    assert cli("watch", "edit-1").code == 0
    assert shop.bought("edit-1") == ["tea 20"]


def test_whoever_edits_a_call_into_one_that_needs_nobody_is_named(cli: CommandLine, shop: Shop) -> None:
    ask(cli, "edit-2")
    assert cli("approve", "edit-2", "--by", "ana", "--args", '{"count": 2}').code == 0
    assert cli("watch", "edit-2").code == 0
    [effect] = cli("show", "edit-2", "--json").json["result"]["effects"]
    assert (shop.bought("edit-2"), effect["approved_by"]) == (["tea 2"], ["ana"])


def test_question_is_answered_with_text(cli: CommandLine) -> None:
    cli("run", "asker", "paint it", "--id", "ask-1")
    until(cli, "ask-1", "AWAITING_PERSON")
    shown = cli("show", "ask-1")
    assert "Which colour?" in shown.out
    assert cli("answer", "ask-1", "blue [bold]x[/bold]", "--by", "leo").code == 0
    assert cli("watch", "ask-1").code == 0


def test_request_that_is_not_open_is_refused(cli: CommandLine) -> None:
    ask(cli, "late-1")
    assert "no request 'q7' is open; open: q1" in cli("approve", "late-1", "--request", "q7").err
    cli("cancel", "late-1")
    until(cli, "late-1", "CANCELLED")
    ran = cli("approve", "late-1", "--by", "ana")
    assert ran.code == 1
    assert "has ended (CANCELLED)" in ran.err
    again = cli("cancel", "late-1")
    assert again.code == 1
    assert "has ended (CANCELLED); there is nothing to cancel" in again.err


def test_arguments_that_are_no_object_are_refused_before_anything_is_asked(cli: CommandLine) -> None:
    for bad in ("{", "[1]", '"x"', "NaN", "{'a': 1}", "[" * 100_000):
        ran = cli("approve", "whatever", "--args", bad)
        assert ran.code == 2
        assert "--args" in ran.err
