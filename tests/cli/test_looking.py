import asyncio
import time
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.cli.conftest import CommandLine, Shop
from tests.cli.test_decisions import ask
from tests.cli.waiting import until


def listed(cli: CommandLine, *options: str) -> list[str]:
    ran = cli("ls", "--json", *options)
    assert ran.code == 0
    ids = [one["task_id"] for one in ran.json]
    assert len(ids) == len(set(ids)), "one row per id"
    return ids


def test_inbox_of_a_person_and_of_a_role_holds_what_waits_for_them(cli: CommandLine) -> None:
    ask(cli, "inbox-1")
    assert "inbox-1" in listed(cli, "--waiting-for", "ana")
    assert "inbox-1" in listed(cli, "--waiting-for", "finance", "--agent", "shop", "--status", "AWAITING_APPROVAL")
    assert "inbox-1" not in listed(cli, "--waiting-for", "leo")
    assert "inbox-1" in cli("ls").out
    cli("cancel", "inbox-1")
    until(cli, "inbox-1", "CANCELLED")
    assert "inbox-1" not in listed(cli, "--waiting-for", "ana")


def until_listed(cli: CommandLine, ids: set[str], *options: str, seconds: float = 60) -> None:
    """Visibility may be a moment late: ask until all are listed."""
    give_up_at = time.monotonic() + seconds
    while not ids <= set(found := listed(cli, *options)):
        assert time.monotonic() < give_up_at, ids - set(found)
        time.sleep(0.05)


async def start_badly(shop: Shop, wishes: dict[str, Any]) -> None:
    """Start tasks as other programs may, and wait until they have failed."""
    client = await Client.connect(shop.address, data_converter=pydantic_data_converter)
    for task_id, wish in wishes.items():
        handle = await client.start_workflow("AgentTask", wish, id=task_id, task_queue="lastmile")
        try:
            await handle.result()
        except WorkflowFailureError:
            continue
        raise AssertionError(f"{task_id} did not fail")


def test_task_that_failed_before_it_began_is_listed_by_status_and_agent(cli: CommandLine, shop: Shop) -> None:
    wishes = {
        "begun-not-1": {"agent": "nobody", "goal": "x"},
        "begun-not-2": {"agent": "shop"},
        "begun-not-3": ["shop"],
        "o'dear": {"agent": "shop", "goal": 7},
    }
    asyncio.run(start_badly(shop, wishes))
    until_listed(cli, set(wishes), "--status", "FAILED")
    for options in ((), ("--status", "FAILED")):
        found = {one["task_id"]: one for one in cli("ls", "--json", "--limit", "1000", *options).json}
        assert [found[name]["agent"] for name in wishes] == ["nobody", "shop", "", "shop"]
        assert {found[name]["status"] for name in wishes} == {"FAILED"}
    assert listed(cli, "--agent", "nobody") == ["begun-not-1"]
    assert {"begun-not-2", "o'dear"} <= set(listed(cli, "--agent", "shop", "--status", "FAILED"))
    assert not set(wishes) & set(listed(cli, "--status", "COMPLETED"))
    assert not set(wishes) & set(listed(cli, "--waiting-for", "ana"))
    shown = cli("show", "begun-not-2", "--json").json
    assert (shown["status"], shown["result"]["reason"]) == ("FAILED", shown["reason"])
    assert "goal: Field required" in shown["reason"]


def test_tasks_that_wait_for_somebody_are_listed_before_newer_ones(cli: CommandLine) -> None:
    ask(cli, "old-1")
    assert cli("run", "shop", "buy", "--id", "new-1", "--input", "what=tea", "--input", "count=1", "--wait").code == 0
    found = cli("ls", "--json").json
    waits = [bool(one["waiting_for"]) for one in found]
    names = [one["task_id"] for one in found]
    assert waits == sorted(waits, reverse=True)
    assert names.index("old-1") < names.index("new-1")
    assert names.count("old-1") == names.count("new-1") == 1
    cli("cancel", "old-1")
    until(cli, "old-1", "CANCELLED")


def test_show_names_who_may_answer_and_how(cli: CommandLine) -> None:
    ask(cli, "show-1")
    shown = cli("show", "show-1").out
    for part in (
        "AWAITING_APPROVAL",
        "ana, mia (finance)",
        "python starter.py approve show-1 --request q1 --by ana",
        "digest",
    ):
        assert part in shown
    cli("cancel", "show-1")


def test_paused_task_starts_nothing_until_it_is_resumed(cli: CommandLine) -> None:
    ask(cli, "pause-1")
    assert cli("pause", "pause-1", "--by", "leo", "--reason", "lunch").code == 0
    until(cli, "pause-1", "PAUSED")
    assert cli("resume", "pause-1").code == 0
    until(cli, "pause-1", "AWAITING_APPROVAL")
    cli("cancel", "pause-1")


def test_amended_goal_is_planned_anew(cli: CommandLine) -> None:
    ask(cli, "amend-1")
    assert cli("amend", "amend-1", "--goal", "buy less tea", "--input", "what=tea", "--input", "count=1").code == 0
    assert cli("watch", "amend-1", "--json").code == 0
    assert cli("show", "amend-1", "--json").json["result"]["answer"] == "Bought 1 tea."


def test_amendment_without_a_change_is_refused(cli: CommandLine) -> None:
    ran = cli("amend", "whatever", "--by", "leo")
    assert ran.code == 2
    assert "names what changes" in ran.err


def test_cancelled_task_says_so_and_exits_1(cli: CommandLine) -> None:
    ask(cli, "cancel-1")
    assert cli("cancel", "cancel-1").code == 0
    watched = cli("watch", "cancel-1")
    assert watched.code == 1
    assert "CANCELLED" in watched.out
    assert cli("cancel", "cancel-1").code in (0, 1)


def test_who_cancelled_and_why_is_in_the_audit(cli: CommandLine) -> None:
    ask(cli, "cancel-2")
    assert cli("cancel", "cancel-2", "--by", "leo", "--reason", "sold out").code == 0
    until(cli, "cancel-2", "CANCELLED")
    (said,) = cli("audit", "cancel-2", "--json").json["people"]
    assert (said["form"], said["payload"], said["counted"]) == ("cancel", {"by": "leo", "reason": "sold out"}, True)
    assert '"by": "leo"' in cli("audit", "cancel-2").out
    assert cli("replay", "cancel-2").code == 0


def test_unknown_task_is_named_by_every_verb(cli: CommandLine) -> None:
    verbs = [("show",), ("watch",), ("approve",), ("reject",), ("pause",), ("resume",), ("cancel",), ("history",)]
    for verb in [*verbs, ("replay",)]:
        ran = cli(*verb, "no-such-task")
        assert (ran.code, "there is no task 'no-such-task'" in ran.err) == (2, True), (verb, ran)
    assert cli("answer", "no-such-task", "end").code == 2
    assert cli("audit", "no-such-task").code == 2


def test_text_of_others_is_shown_as_it_is(cli: CommandLine) -> None:
    goal = "[red]buy[/red] \x1b[31mtea\u202e :smile:"
    cli("run", "shop", goal, "--id", "odd [1]", "--input", "what=tea", "--input", "count=50")
    until(cli, "odd [1]", "AWAITING_APPROVAL")
    shown = cli("show", "odd [1]").out
    assert r"[red]buy[/red] \u001b[31mtea\u202e :smile:" in shown
    assert "'odd [1]'" in shown
    cli("cancel", "odd [1]")
