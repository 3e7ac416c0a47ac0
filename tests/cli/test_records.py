import json
from pathlib import Path

from tests.cli.conftest import CommandLine
from tests.cli.test_decisions import ask


def finished(cli: CommandLine, task_id: str) -> None:
    ask(cli, task_id)
    cli("approve", task_id, "--by", "ana", "--comment", "fine")
    assert cli("watch", task_id).code == 0


def test_history_replays_with_the_same_decisions(cli: CommandLine, tmp_path: Path) -> None:
    finished(cli, "replay-1")
    file = tmp_path / "history.json"
    assert cli("history", "replay-1", "-o", str(file)).code == 0
    events = len(json.loads(file.read_text())["events"])
    ran = cli("replay", str(file), "replay-1")
    assert ran.code == 0
    assert ran.out.count(f"replayed {events} events, same decisions") == 2


def test_history_that_differs_names_the_event(cli: CommandLine, tmp_path: Path) -> None:
    finished(cli, "replay-2")
    text = cli("history", "replay-2").out
    file = tmp_path / "history.json"
    file.write_text(text.replace('"name": "buy"', '"name": "sell"'))
    ran = cli("replay", str(file), "--json")
    assert ran.code == 1
    assert ran.json[0]["difference"].startswith("event ")
    assert "'sell' does not match" in ran.json[0]["difference"]


def test_file_that_is_no_history_is_named(nowhere: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    other = {"eventType": "EVENT_TYPE_TIMER_STARTED", "eventId": "1"}
    for content in ("", "[", "[]", "{}", '{"events": 3}', '{"events": []}', json.dumps({"events": [other]}), "\x00"):
        file.write_text(content)
        ran = nowhere("replay", str(file))
        assert ran.code == 2
        assert "is no history" in ran.err


def test_audit_tells_who_did_what_with_which_approval(cli: CommandLine) -> None:
    finished(cli, "audit-1")
    report = cli("audit", "audit-1", "--json").json
    look, buy = report["steps"]
    assert (look["tool"], look["answer"], look["attempts"]) == ("look_up", {"what": "tea", "price": 5}, 1)
    assert (buy["state"], buy["evidence"], buy["sends"]) == ("SUCCEEDED", "answer", 1)
    assert buy["args"] == {"what": "tea", "count": 50}
    assert buy["origin"] == {"/what": "tool:look_up", "/count": "request"}
    assert buy["latency_ms"] > 0
    [approval] = buy["approvals"]
    assert (approval["by"], approval["trust"], approval["comment"], approval["request"]) == (
        "ana",
        "open",
        "fine",
        "q1",
    )
    assert approval["at"] is not None
    assert report["plans"][0]["came"] == "plan.proposed"
    assert (report["status"], report["missing"]) == ("COMPLETED", [])
    assert [(one["form"], one["counted"]) for one in report["people"]] == [("decide", True)]
    shown = cli("audit", "audit-1").out
    assert "ana at " in shown
    assert "from tool:look_up" in shown


def test_audit_says_what_is_missing_when_temporal_is_away(cli: CommandLine, tmp_path: Path) -> None:
    finished(cli, "audit-2")
    away = tmp_path / "away.toml"
    away.write_text(cli.config.read_text().replace("127.0.0.1:", '127.0.0.1:1" # '))
    away.write_text(away.read_text().replace("sqlite:///", f"sqlite:///{cli.config.parent}/"))
    ran = CommandLine(away, cli.capture)("audit", "audit-2", "--json")
    assert ran.code == 0
    assert [step["tool"] for step in ran.json["steps"]] == ["look_up", "buy"]
    assert "no Temporal server answers" in ran.json["missing"][0]
