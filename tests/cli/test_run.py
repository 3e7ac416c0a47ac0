import json
from pathlib import Path

import pytest

from tests.cli.conftest import PLAN, CommandLine, Shop, write_agent, write_config
from tests.cli.waiting import until

SMALL = ("--input", "what=tea", "--input", "count=2")
LARGE = ("--input", "what=tea", "--input", "count=50")


def test_task_runs_to_its_end_and_prints_the_result(cli: CommandLine, shop: Shop) -> None:
    ran = cli("run", "shop", "buy tea", "--id", "run-1", *SMALL, "--wait", "--json")
    assert ran.code == 0
    assert ran.json["answer"] == "Bought 2 tea."
    assert shop.bought("run-1") == ["tea 2"]


def test_followed_task_tells_its_steps_on_standard_error(cli: CommandLine) -> None:
    ran = cli("run", "shop", "buy tea", "--id", "run-2", *SMALL, "--wait")
    assert ran.code == 0
    assert "Bought 2 tea." in ran.out
    assert "r1.buy" in ran.out


def test_number_among_the_inputs_reaches_a_tool_that_takes_text(cli: CommandLine, shop: Shop) -> None:
    numbers = ("--input", "what=1042", "--input", "count=50")
    cli("run", "shop", "buy it", "--id", "run-number", *numbers)
    until(cli, "run-number", "AWAITING_APPROVAL")
    [request] = cli("show", "run-number", "--json").json["requests"]
    assert (request["args"], request["origin"]["/count"]) == ({"what": "1042", "count": 50}, "request")
    assert cli("approve", "run-number", "--by", "ana").code == 0
    assert cli("watch", "run-number").code == 0
    assert shop.bought("run-number") == ["1042 50"]


def test_id_that_has_run_is_refused(cli: CommandLine, shop: Shop) -> None:
    cli("run", "shop", "buy tea", "--id", "run-3", *SMALL, "--wait")
    again = cli("run", "shop", "buy tea", "--id", "run-3", *SMALL)
    assert again.code == 2
    assert "has run before" in again.err
    assert shop.bought("run-3") == ["tea 2"]


def test_again_allows_an_id_that_has_run_and_what_it_did_stays_done(cli: CommandLine, shop: Shop) -> None:
    cli("run", "shop", "buy tea", "--id", "run-4", *SMALL, "--wait")
    assert cli("run", "shop", "buy tea", "--id", "run-4", *SMALL, "--again", "--wait").code == 0
    assert shop.bought("run-4") == ["tea 2"]
    effects = cli("show", "run-4", "--json").json["result"]["effects"]
    assert [(one["tool"], one["already"]) for one in effects] == [("buy", False), ("buy", True)]


def test_same_wish_under_a_running_id_joins_it(cli: CommandLine) -> None:
    first = cli("run", "shop", "buy much tea", "--id", "run-5", *LARGE, "--json")
    second = cli("run", "shop", "buy much tea", "--id", "run-5", *LARGE, "--json")
    assert (first.json["is_new"], second.json["is_new"]) == (True, False)
    assert second.code == 0
    cli("cancel", "run-5")


def test_other_wish_under_a_running_id_is_refused(cli: CommandLine) -> None:
    cli("run", "shop", "buy much tea", "--id", "run-6", *LARGE)
    other = cli("run", "shop", "buy all the coffee", "--id", "run-6", *LARGE)
    assert other.code == 2
    assert "another wish ('buy much tea')" in other.err
    cli("cancel", "run-6")


def test_inputs_come_from_a_file_and_pairs_go_over_it(cli: CommandLine, tmp_path: Path, shop: Shop) -> None:
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps({"what": "cake", "count": 1}))
    ran = cli("run", "shop", "buy", "--id", "run-7", "--inputs", str(file), "--input", "count=3", "--wait")
    assert ran.code == 0
    assert shop.bought("run-7") == ["cake 3"]


def test_unknown_agent_is_named_with_those_there_are(cli: CommandLine) -> None:
    ran = cli("run", "shopp", "buy tea")
    assert ran.code == 2
    assert "there is no agent 'shopp'; did you mean 'shop'" in ran.err


def test_broken_agent_is_refused_with_what_is_wrong_before_a_task_is_started(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_agent(tmp_path / "agents" / "broken", {"plan": PLAN})
    (tmp_path / "agents" / "broken" / "agent.toml").write_text("owner = 3\n")
    broken = CommandLine(write_config(tmp_path, shop.address), capsys)
    ran = broken("run", "broken", "buy tea", "--id", "run-9")
    assert ran.code == 2
    assert "agent.toml:1: owner" in ran.err
    assert "there is no task 'run-9'" in broken("show", "run-9").err


def test_task_that_is_ended_by_its_owner_exits_1(cli: CommandLine) -> None:
    cli("run", "lost", "find the way", "--id", "run-8")
    until(cli, "run-8", "AWAITING_PERSON")
    assert cli("answer", "run-8", "end", "--by", "leo").code == 0
    watched = cli("watch", "run-8", "--json")
    assert watched.code == 1
    assert json.loads(watched.out.splitlines()[-1])["status"] == "FAILED"


def test_id_is_made_up_when_none_is_given(cli: CommandLine) -> None:
    ran = cli("run", "shop", "buy tea", *SMALL, "--wait", "--json")
    assert ran.json["task_id"].startswith("shop-")
