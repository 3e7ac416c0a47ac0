"""Trials of several parts: each is kept as it ends, and one can be run again while the others stay."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from trials import report, results, running
from trials.results import Figure, Outcome
from trials.running import Run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Outcomes of a test go to a folder of its own."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


async def good(run: Run) -> Sequence[Figure]:
    run.size("tasks", 1, 10)
    return [Figure(name="good", measured=f"{run.seed}", holds=True)]


async def bad(run: Run) -> Sequence[Figure]:
    run.baselines.append(Figure(name="naive", measured="1"))
    return [Figure(name="bad", measured="1", holds=False)]


async def broken(run: Run) -> Sequence[Figure]:
    raise ValueError(f"seed {run.seed}")


PARTS = {"one": good, "two": bad}


def kept(folder: Path, name: str = "world") -> dict[str, Outcome]:
    return results.read(folder / f"{name}.json").parts


def test_part_that_is_run_again_leaves_the_others_as_they_were(folder: Path) -> None:
    assert running.main("world", PARTS, ["--seed", "1"]) == 1
    before = kept(folder)
    assert running.main("world", PARTS, ["--only", "one", "--seed", "2"]) == 0
    after = kept(folder)
    assert (after["two"], [*after]) == (before["two"], ["one", "two"])
    assert (before["one"].seed, after["one"].seed, after["one"].figures[0].measured) == (1, 2, "2")


def test_bound_that_another_part_broke_earlier_still_breaks_the_whole(folder: Path) -> None:
    running.main("world", PARTS, ["--only", "two"])
    assert running.main("world", PARTS, ["--only", "one"]) == 0
    assert not results.read(folder / "world.json").holds


def test_sample_of_a_part_leaves_what_was_run_in_full(folder: Path) -> None:
    running.main("world", PARTS, ["--only", "one", "--full"])
    running.main("world", PARTS, ["--only", "one"])
    assert kept(folder, "world-full")["one"].sizes == {"tasks": 10}
    assert report.load(folder)["world"].parts["one"].is_full


def test_part_that_is_no_more_is_forgotten(folder: Path) -> None:
    running.main("world", PARTS, [])
    running.main("world", {"one": good}, [])
    assert [*kept(folder)] == ["one"]


def test_part_that_breaks_is_a_broken_bound_and_the_others_still_run(folder: Path) -> None:
    assert running.main("world", {"zero": broken, "one": good}, ["--seed", "7"]) == 1
    parts = kept(folder)
    assert "seed 7" in parts["zero"].figures[0].measured
    assert (parts["zero"].holds, parts["one"].holds) == (False, True)


def test_kept_outcome_that_cannot_be_read_is_a_sentence_and_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "world.json").write_text("{")
    assert running.main("world", PARTS, []) == 3
    assert "remove it and run all parts again" in capsys.readouterr().err
    assert (folder / "world.json").read_text() == "{"
