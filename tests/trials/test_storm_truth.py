import ast
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.agent_folder import load_agent
from config.settings import Person, Settings
from core.checking import check_plan
from core.ports import Agent, Case, Do
from trials.storm.generator import main, make
from trials.storm.truth import (
    CLOSED_PREFIX,
    FINANCE,
    OWNERS,
    Blow,
    EffectTruth,
    Fate,
    Kind,
    Says,
    TaskTruth,
    Truth,
    Why,
)

STORM = Path(__file__).parents[2] / "trials" / "storm"
OTHERS = frozenset(["aiohttp", "pydantic", "temporalio"])
WITHOUT_THE_RUNTIME = ["bank", "generator", "truth", "checker", "naive"]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "." * node.level


def reached(path: Path) -> dict[str, set[str]]:
    """Name what a file of the storm imports, and what those of the storm import that it imports."""
    found: dict[str, set[str]] = {}
    todo = [path]
    while todo:
        one = todo.pop()
        names = set(imported(one))
        found[one.name] = {name for name in names if not name.startswith("trials.storm.")}
        files = [
            STORM / f"{name.removeprefix('trials.storm.')}.py" for name in names if name.startswith("trials.storm.")
        ]
        todo += [file for file in files if file.name not in found]
    return found


def foreign(path: Path) -> set[str]:
    tops = {name.partition(".")[0] for names in reached(path).values() for name in names}
    return tops - OTHERS - set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", WITHOUT_THE_RUNTIME)
def test_judges_and_the_world_share_no_code_with_the_runtime(name: str) -> None:
    assert foreign(STORM / f"{name}.py") == set()


def test_a_planted_import_of_the_runtime_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from core.names import digest\n    import trials.results\n    import json\n")
    assert foreign(planted) == {"core", "trials"}


@pytest.fixture(scope="module")
def storm() -> list[tuple[TaskTruth, dict[str, object]]]:
    return list(make(800, seed=11))


@pytest.fixture(scope="module")
def tasks(storm: list[tuple[TaskTruth, dict[str, object]]]) -> list[TaskTruth]:
    return [truth for truth, _ in storm]


@pytest.fixture(scope="module")
def effects(tasks: list[TaskTruth]) -> list[EffectTruth]:
    return [effect for task in tasks for effect in task.effects]


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Agent]:
    folder = tmp_path_factory.mktemp("storm")
    (folder / "scripts").mkdir()
    shutil.copytree(STORM / "agents", folder / "agents")
    roles = {**dict.fromkeys(FINANCE, "finance"), **dict.fromkeys(OWNERS, "desk")}
    settings = Settings(folder=folder, people={name: Person(roles=(role,)) for name, role in roles.items()})
    return {one.name: load_agent(one, settings) for one in (folder / "agents").iterdir()}


def test_a_seed_makes_the_same_storm_again() -> None:
    assert list(make(50, seed=3)) == list(make(50, seed=3))
    assert [truth for truth, _ in make(50, seed=3)] != [truth for truth, _ in make(50, seed=4)]


def test_a_task_does_not_depend_on_how_many_there_are() -> None:
    assert list(make(80, seed=3))[:20] == list(make(20, seed=3))


def test_memos_and_task_ids_are_unique(tasks: list[TaskTruth], effects: list[EffectTruth]) -> None:
    assert len({task.task_id for task in tasks}) == len(tasks)
    assert len({effect.memo for effect in effects}) == len(effects)


def test_everything_that_a_storm_is_made_of_occurs(tasks: list[TaskTruth], effects: list[EffectTruth]) -> None:
    assert {task.blow for task in tasks} == set(Blow)
    assert {task.agent for task in tasks} == {"desk", "brief", "undo"}
    assert {effect.kind for effect in effects} == set(Kind)
    assert {effect.fate for effect in effects} == set(Fate)
    assert {effect.says for effect in effects} == {None, *Says}
    assert {effect.why for effect in effects} == {None, *Why}
    assert Counter(bool(effect.undoes) for effect in effects)[True] > 30


def test_ten_thousand_tasks_have_thirty_thousand_effects() -> None:
    happening = (Fate.ONCE, Fate.ONCE_IF_APPROVED)
    count = sum(effect.fate in happening for truth, _ in make(10_000, seed=1) for effect in truth.effects)
    assert count >= 30_000


def test_fates_fit_to_what_people_and_policy_say(tasks: list[TaskTruth]) -> None:
    for task in tasks:
        for effect in task.effects:
            is_never = effect.fate is Fate.NEVER
            assert is_never == (effect.why is not None)
            if task.blow not in (Blow.CANCEL, Blow.TERMINATE):
                assert (effect.fate is Fate.ONCE_IF_APPROVED) == (
                    effect.says in (Says.APPROVE, Says.WRONG_FIRST, Says.EDIT)
                )
            assert task.requested_by not in effect.needs
            assert bool(effect.needs) == (effect.says is not None) or effect.undoes


def test_effects_come_after_effects_of_the_same_task(tasks: list[TaskTruth]) -> None:
    for task in tasks:
        known: set[str] = set()
        for effect in task.effects:
            assert set(effect.after) <= known
            known.add(effect.memo)


def test_agents_policy_judges_every_effect_as_the_truth_says(tasks: list[TaskTruth], agents: dict[str, Agent]) -> None:
    for task in tasks:
        for effect in task.effects:
            if not effect.undoes:
                assert (effect.memo, _judged(task, effect, agents[task.agent])) == (effect.memo, _expected(effect))


def _judged(task: TaskTruth, effect: EffectTruth, agent: Agent) -> Do:
    args = {"memo": effect.memo, "account": effect.account, "amount_cents": effect.planned_cents}
    case = Case(
        tool=effect.tool, writes=True, args=args, inputs=task.inputs, task={}, facts={}, origin={}, day="2026-01-01"
    )
    verdict = agent.policy.judge(case)[0]
    assert verdict.do is Do.DENY or verdict.approvers == ("finance",)
    return verdict.do


def _expected(effect: EffectTruth) -> Do:
    if effect.why in (Why.DENIED, Why.OVER_CAP):
        return Do.DENY
    return Do.ASK if effect.needs else Do.ALLOW


def test_plans_that_are_meant_to_run_are_accepted_and_the_others_refused(
    storm: list[tuple[TaskTruth, dict[str, list[dict[str, dict[str, object]]]]]], agents: dict[str, Agent]
) -> None:
    outcomes: Counter[bool] = Counter()
    for truth, script in storm:
        agent = agents[truth.agent]
        catalogue = {name: tool.contract for name, tool in agent.tools.items() if not name.endswith(".undo")}
        for reply in {json.dumps(reply.get("plan", {}).get("steps")): reply for reply in script["replies"]}.values():
            if "plan" in reply:
                is_meant = "plan" in json.dumps(reply["plan"]["finish"])
                found = check_plan(reply["plan"], catalogue, {}, agent.profile.limits)
                assert isinstance(found, list) is not is_meant, (truth.task_id, found)
                outcomes[is_meant] += 1
    assert outcomes[True] > 800
    assert outcomes[False] > 5


def test_refused_effects_go_to_closed_accounts_and_no_others(effects: list[EffectTruth]) -> None:
    refused = {effect.memo for effect in effects if effect.why is Why.REFUSED}
    assert refused
    assert refused == {effect.memo for effect in effects if effect.account.startswith(CLOSED_PREFIX)}


def test_generator_writes_a_truth_and_a_script_for_each_task(tmp_path: Path) -> None:
    out, scripts = tmp_path / "truth.json", tmp_path / "scripts"
    assert main(["--tasks", "12", "--seed", "9", "--out", str(out), "--scripts", str(scripts)]) == 0
    truth = Truth.read(out)
    assert (truth.seed, [task for task, _ in make(12, 9)]) == (9, list(truth.tasks))
    assert {path.stem for path in scripts.iterdir()} == {task.task_id for task in truth.tasks}


def test_generator_says_what_is_wrong_with_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    wrong = ["--tasks", "1", "--seed", "1", "--out", str(tmp_path / "t.json"), "--scripts", str(blocked / "scripts")]
    assert main(wrong) == 2
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main(["--tasks", "0", "--seed", "1", "--out", "x", "--scripts", "y"])
    assert left.value.code == 2
    assert "--tasks is a whole number from 1 up, found 0" in capsys.readouterr().err
