"""The report of all trials: what it proves, what is broken, and what is missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trials import __main__ as everything
from trials import report, results
from trials.promises import PROMISES
from trials.results import Figure, Outcome, at_most, now


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Outcomes and the report of a test go to a folder of its own."""
    for module in (results, everything):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def reported(folder: Path) -> tuple[int, str]:
    code = report.main(folder, folder / "REPORT.md")
    return code, (folder / "REPORT.md").read_text()


def outcome(trial: str, *figures: Figure, **more: Any) -> Outcome:
    return Outcome(trial=trial, figures=figures, at=now(), **more)


def figure(name: str, *, holds: bool | None = True, **more: Any) -> Figure:
    return Figure(name=name, measured="1 application", must_be="1 application", holds=holds, **more)


def line_of(name: str, *outcomes: Outcome) -> report.Line:
    [promise] = [one for one in PROMISES if one.figure == name]
    return report.judge(promise, {one.trial: one for one in outcomes})


def test_a_trial_that_was_not_run_is_said_to_be_missing(folder: Path) -> None:
    results.write(outcome("bulk", figure("one key, 1,000 callers, keyed, SQLite")))
    code, text = reported(folder)
    assert code == 0
    assert "**Missing: model, crash, storm, throughput, deployments, recovery, world.**" in text
    assert "missing: the trial storm has not been run" in text


def test_a_run_in_full_counts_more_than_a_sample(folder: Path) -> None:
    results.write(outcome("bulk", figure("sampled")))
    results.write(outcome("bulk", figure("in full"), is_full=True))
    assert [one.name for one in report.load(folder)["bulk"].figures] == ["in full"]


def test_a_sample_is_called_a_sample(folder: Path) -> None:
    results.write(outcome("bulk", figure("x"), seed=7, sizes={"callers": 5}, versions={"python": "3"}))
    text = report.document(report.load(folder))
    assert "**a sample**" in text
    assert "seed 7" in text
    assert "Sizes: callers 5." in text
    assert "Versions: python 3." in text


def test_a_promise_holds_when_all_its_figures_do() -> None:
    good, bad = figure("one key, 5 callers, keyed"), figure("one key, 5 callers, unrepeatable", holds=False)
    assert line_of("one key, 1,000 callers", outcome("bulk", good)).holds is True
    assert line_of("one key, 1,000 callers", outcome("bulk", good, bad)).holds is False


def test_a_promise_without_its_figure_is_not_taken_as_kept() -> None:
    line = line_of("one key, 1,000 callers", outcome("bulk", figure("something else")))
    assert (line.holds, "did not measure it" in line.measured) == (None, True)


def part(name: str, *figures: Figure, **more: Any) -> dict[str, Outcome]:
    return {name: outcome(f"world {name}", *figures, **{"is_full": True, **more})}


ROWS_OF_WORLD = {
    "stripe": "refunds with Stripe's SDK, 20 % of the answers lost",
    "tau2 retail": "tau2's retail desk over MCP, 20 % of the answers lost",
    "tau2 airline": "tau2's airline desk over MCP, 20 % of the answers lost",
    "tau2 telecom": "tau2's telecom desk over MCP, 20 % of the answers lost",
    "roundup": "tickets at Roundup by its OpenAPI document, 20 % of the answers lost",
    "llmock": "planners at llmock, every fault it has",
    "local": "a real local model at the support desk",
}
"""Promises by how the figures begin that prove them, as the parts name them."""


@pytest.mark.parametrize(
    ("name", "naive"),
    [
        ("stripe: refunds done more than once", "stripe, plain retries: refunds done more than once"),
        ("tau2 retail: end states as they should be", "tau2 retail, plain retries: writes done more than once"),
        ("tau2 airline: writes missing", "tau2 airline, plain retries: writes done more than once"),
        ("tau2 telecom: refusals told to the planner", "tau2 telecom, plain retries: refusals told"),
        ("roundup: tickets filed twice, counted at Roundup", "roundup: duplicates of a client that tries again"),
        ("llmock, bad weather: its verdict", "llmock, the SDKs as they come: calls that bring a plan"),
        ("local: tasks stuck", "local: refunds and mails that a loop without a policy would have sent"),
    ],
)
def test_each_part_of_the_world_proves_its_promise_and_no_other(name: str, naive: str) -> None:
    beside = Figure(name=naive, measured="many")
    found = outcome("world", parts=part("x", figure(name, holds=False), baselines=(beside,)))
    lines = [report.judge(promise, {"world": found}) for promise in PROMISES if promise.trial == "world"]
    [broken] = [line for line in lines if line.holds is False]
    assert broken.promise.figure == next(row for start, row in ROWS_OF_WORLD.items() if name.startswith(start))
    assert broken.naive.endswith(": many")
    assert [line.holds for line in lines if line is not broken] == [None] * 6


def test_what_only_a_sample_shows_is_said_to_be_one() -> None:
    sample = outcome("world", parts=part("tau2-retail", figure("tau2 retail: end states"), is_full=False))
    assert line_of(ROWS_OF_WORLD["tau2 retail"], sample).measured == "1 application (a sample)"
    full = outcome("world", parts=part("tau2-retail", figure("tau2 retail: end states")))
    assert line_of(ROWS_OF_WORLD["tau2 retail"], full).measured == "1 application"


def test_parts_in_full_stand_beside_parts_of_which_there_is_a_sample_alone(folder: Path) -> None:
    results.write(outcome("world", parts=part("a", figure("a"), is_full=False) | part("b", figure("b"), is_full=False)))
    results.write(outcome("world", parts=part("b", figure("b in full")), is_full=True))
    parts = report.load(folder)["world"].parts
    assert [(name, one.is_full) for name, one in parts.items()] == [("a", False), ("b", True)]


def test_each_part_is_reported_with_its_own_time_seed_and_size(folder: Path) -> None:
    results.write(outcome("world", parts=part("a", seed=7, sizes={"x": 5}) | part("b", seed=8, is_full=False)))
    text = report.document(report.load(folder))
    assert "full size, seed 7" in text.partition("## world a")[2].partition("## world b")[0]
    assert "**a sample**" in text.partition("## world b")[2]


def test_broken_bound_of_a_part_is_named_with_its_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.write(outcome("world", parts=part("roundup", figure("roundup: tickets filed twice", holds=False))))
    assert reported(folder)[0] == 1
    assert "broken: world roundup: roundup: tickets filed twice" in " ".join(capsys.readouterr().out.split())


def test_the_baselines_prove_that_the_oracle_sees() -> None:
    blind = outcome("storm", baselines=(figure("plain retries: duplicates", holds=False),))
    assert line_of("the naive baselines", blind).holds is False


def test_a_broken_bound_fails_the_report_and_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.write(outcome("crash", figure("crash cells as in the table", holds=False)))
    code, text = reported(folder)
    assert (code, "**NO**" in text) == (1, True)
    assert "broken: crash: crash cells as in the table" in capsys.readouterr().out


def test_an_outcome_that_cannot_be_read_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bulk.json").write_text('{"trial": 7}')
    assert report.main(folder) == 3
    assert "run that trial again" in capsys.readouterr().err


def test_what_a_table_cannot_hold_stays_in_its_cell(folder: Path) -> None:
    results.write(outcome("bulk", figure("a | b\nc")))
    assert "| a \\| b c |" in report.document(report.load(folder))


def test_no_failure_is_stated_as_an_upper_bound() -> None:
    assert at_most(0, 3_000) == "0 in 3,000 (rate at most 1.0e-03)"
    assert at_most(1, 3_000) == "1 in 3,000"


def test_a_trial_that_leaves_no_outcome_is_broken(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "gone.json").write_text("of an earlier run")
    assert everything.run("gone", is_full=False, seed=1) == 1
    assert not (folder / "gone.json").exists()
    assert f"ended with code {1}" in capfd.readouterr().err


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (3, 1)])
def test_the_exit_code_of_a_trial_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: int
) -> None:
    trial = folder / "trial.py"
    trial.write_text(f"import sys; open({str(folder / 'x.json')!r}, 'w').close(); sys.exit({code})")
    real = subprocess.run
    monkeypatch.setattr("subprocess.run", lambda *_, **more: real([sys.executable, str(trial)], **more))
    assert everything.run("x", is_full=False, seed=None) == expected
