"""Every bound of the storm's table can be broken, and a storm that did not blow breaks one."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from trials.storm import figures
from trials.storm.__main__ import keep_seed, main, read_seeds
from trials.storm.baselines import Naive
from trials.storm.checker import Doubt, Judgement, Sin, Sort
from trials.storm.journal import Journal, read_journal
from trials.storm.nemesis import locked
from trials.storm.running import Ran, Weather
from trials.storm.truth import Blow, TaskTruth, Truth

TASK = TaskTruth(
    task_id="T1",
    agent="desk",
    shape="made up",
    goal="pay",
    inputs={},
    requested_by="rita",
    effects=(),
    blow=Blow.RESET,
    ends=("COMPLETED",),
)
RAN = Ran(
    weather=Weather("storm", nemesis=True),
    truth=Truth(seed=1, tasks=(TASK,)),
    judgement=Judgement(applications=100),
    per_s=6.0,
    seconds=60.0,
    ended=1,
    blows={},
    folder=Path(),
)
DOUBT = Doubt("unrepeatable", "T1", "T1-1", "k1", "NEEDS_PERSON", "olga")


@pytest.mark.parametrize("sort", Sort)
def test_one_sin_breaks_the_bound_of_its_sort_and_no_other(sort: Sort) -> None:
    judgement = Judgement(sins=(Sin(sort, "T1", "T1-1", "it is so"),), by_sort={sort: 1}, applications=100)
    broken = [one for one in figures.of_sins(replace(RAN, judgement=judgement)) if one.holds is False]
    assert ["T1 T1-1: it is so" in one.note for one in broken] == [True]
    assert all(one.holds for one in figures.of_sins(RAN))


@pytest.mark.parametrize("kind", ["transactional", "idempotent", "keyed", "probed"])
def test_an_open_doubt_that_ends_by_itself_breaks_its_bound(kind: str) -> None:
    found = figures.of_doubts(Judgement(doubts=(replace(DOUBT, kind=kind),)))
    assert [one.name for one in found if one.holds is False] == [f"open doubts, {kind}"]


@pytest.mark.parametrize(
    ("judgement", "holds"),
    [
        (Judgement(doubts=(DOUBT,), delays=(59.0,)), True),
        (Judgement(doubts=(replace(DOUBT, named=""),)), False),
        (Judgement(delays=(61.0,)), False),
    ],
)
def test_a_doubt_for_a_person_may_stay_open_when_one_is_named_in_time(judgement: Judgement, *, holds: bool) -> None:
    assert [*figures.of_doubts(judgement)][-1].holds is holds


@pytest.mark.parametrize(("storm", "holds"), [(3.6, True), (3.5, False), (0.0, False)])
def test_throughput_has_a_least_ratio(storm: float, *, holds: bool) -> None:
    assert figures.of_throughput(RAN, replace(RAN, per_s=storm)).holds is holds
    assert figures.of_throughput(replace(RAN, per_s=0.0), RAN).holds is False
    assert figures.of_throughput(RAN, RAN, is_judged=False).holds is None


def test_a_storm_that_did_not_blow_is_void() -> None:
    assert not any(one.holds for one in figures.of_blows(RAN) if "task." not in one.name)
    least = {one.name.removeprefix("blows: "): 99 for one in figures.of_blows(RAN)}
    assert all(one.holds for one in figures.of_blows(replace(RAN, blows=least)))
    without = {name: count for name, count in least.items() if name != "task.reset"}
    assert [one.name for one in figures.of_blows(replace(RAN, blows=without)) if not one.holds] == ["blows: task.reset"]


def test_a_naive_way_without_a_duplicate_shows_a_blind_oracle() -> None:
    naive = Naive("table", tasks=9, applications=30, duplicates=1, lost=0, kills=2, ended=9)
    assert [one.holds for one in figures.of_naive([naive, replace(naive, duplicates=0)])] == [True, False]


def test_fewer_deployments_than_wanted_break_the_bound() -> None:
    ran = replace(RAN, weather=Weather("deployments", deployments=50), blows={"worker.sigterm": 49})
    assert [one.holds for one in figures.of_deployments(ran)] == [False, True]
    assert [one.holds for one in figures.of_deployments(replace(ran, blows={"worker.sigterm": 50}))] == [True, True]


def test_a_seed_that_failed_is_kept_once(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("# seeds\n3   # wedged\n")
    for seed, tasks in ((3, 200), (17, 500), (17, 300), (18, 10_000)):
        keep_seed(seed, tasks, seeds)
    assert read_seeds(seeds) == [(3, 200), (17, 500), (18, 2_000)]


@pytest.mark.parametrize("words", [["--tasks", "0"], ["--faults", "2"], ["--seed", "x"]])
def test_wrong_options_are_refused_with_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


async def test_a_locked_file_takes_no_writes(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with sqlite3.connect(file) as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t (n)")
    db.close()
    async with locked(file):
        other = sqlite3.connect(file, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("insert into t values (1)")
        assert other.execute("select count(*) from t").fetchone() == (0,)
        other.close()
    again = sqlite3.connect(file, timeout=0)
    again.execute("insert into t values (1)")
    again.close()


def test_a_journal_is_read_on_from_where_one_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.write("a", "first")
    ((size, _),) = read_journal(tmp_path / "j.jsonl")
    journal.write("a", "second", more=1)
    journal.close()
    assert [(line["what"], line["more"]) for _, line in read_journal(tmp_path / "j.jsonl", size)] == [("second", 1)]
