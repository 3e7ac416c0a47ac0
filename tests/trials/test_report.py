"""The report of all trials: what it proves, what is broken, and what is missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trials import __main__ as everything
from trials import report, results
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
    [promise] = [one for one in report.PROMISES if one.figure == name]
    return report.judge(promise, {one.trial: one for one in outcomes})


def test_a_trial_that_was_not_run_is_said_to_be_missing(folder: Path) -> None:
    results.write(outcome("bulk", figure("one key, 1,000 callers, keyed, SQLite")))
    code, text = reported(folder)
    assert code == 0
    assert "**Missing: model, crash, storm, deployments, recovery.**" in text
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
