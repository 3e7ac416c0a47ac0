"""Whatever happens, in whatever order: nothing raises, nothing is sent twice, and no state is dead."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import card, machine, views
from core.carrying import fold_old, size_bytes
from core.messages import (
    CallTool,
    Finish,
    Notify,
    Wait,
)
from core.task import Phase, Stage, TaskState
from tests.core.shell import Shell
from tests.exploring import examples


def _no_state_is_dead(shell: Shell) -> None:
    """Something under way will bring an event, or somebody who is named is waited for, or planning is retried."""
    state = shell.state
    if state.final is not None:
        assert isinstance(shell.commands[-1], Finish | Notify)
        return
    for command in shell.commands:
        assert isinstance(command, Wait) or command.id in shell.under_way
    working = [one for one in shell.commands if not isinstance(one, Wait | Notify)]
    waits_for_people = bool(state.requests or state.paused) and views.waiting_for(state)
    is_parked = state.stage is Stage.PARKED and state.retry_at is not None
    assert working or waits_for_people or is_parked, f"dead in {state.stage}"
    if state.requests or is_parked:
        assert any(isinstance(one, Wait) for one in shell.commands)


def _no_step_is_forgotten(shell: Shell) -> None:
    if shell.state.final is None:
        named = {one.step for one in shell.commands if isinstance(one, CallTool)}
        calling = {step.id for step in shell.state.steps.values() if step.phase is Phase.CALLING}
        asked = {one.step for one in shell.state.requests.values()}
        waiting = {s.id for s in shell.state.steps.values() if s.phase in (Phase.ASKING, Phase.DOUBTED)}
        assert named == (set() if shell.state.is_held_back else calling)
        assert waiting <= asked


def _keys_are_for_ever(shell: Shell) -> None:
    for step in (shell.state.past | shell.state.steps).values():
        what = (step.intent, step.revision, step.tool)
        assert shell.keys.setdefault(what, step.key) == step.key
    assert len(set(shell.keys.values())) == len(shell.keys)
    assert len({(intent, revision) for intent, revision, _ in shell.keys}) == len(shell.keys)


def _parallel_is_kept(shell: Shell) -> None:
    calling = [s for s in shell.state.steps.values() if s.phase is Phase.CALLING and s.ruling is None]
    if shell.state.is_outdated and not shell.state.undoing:  # these only find out
        return
    assert len(calling) <= shell.profile.limits.parallel


def _ends_are_final(shell: Shell) -> None:
    if shell.final is not None:
        assert shell.state.final == shell.final
    shell.final = shell.state.final
    if shell.sent_before_the_end is not None:
        calling = {s.id for s in shell.state.steps.values() if s.phase is Phase.CALLING and not s.undoes}
        assert calling <= shell.sent_before_the_end, "nothing new is sent once the task ends"


def _undos_come_one_by_one_and_never_in_doubt(shell: Shell) -> None:
    under_way = [s for s in shell.state.steps.values() if s.phase in (Phase.CALLING, Phase.ASKING, Phase.DOUBTED)]
    if any(step.undoes for step in under_way):
        assert len(under_way) == 1
        assert shell.state.undoing
        assert shell.state.ending


def _the_state_survives_as_json(shell: Shell) -> None:
    again = TaskState.model_validate_json(shell.state.model_dump_json())
    assert again == shell.state
    assert machine.decide(again)[1] == shell.commands


def _the_state_stays_small(shell: Shell) -> None:
    folded = fold_old(shell.state)
    assert size_bytes(folded) <= 256 * 1024
    assert machine.decide(folded)[1] == shell.commands


def _everything_can_be_shown(shell: Shell) -> None:
    state = shell.state
    assert len(card.card(state).encode()) <= card.MAX_BYTES
    assert len(views.result_view(state).model_dump_json().encode()) <= views.MAX_BYTES
    assert sum(len(one.model_dump_json().encode()) for one in views.request_views(state)) <= views.MAX_BYTES
    views.status_view(state).model_dump_json()


ALWAYS = (
    _no_state_is_dead,
    _no_step_is_forgotten,
    _keys_are_for_ever,
    _parallel_is_kept,
    _ends_are_final,
    _undos_come_one_by_one_and_never_in_doubt,
    _the_state_survives_as_json,
    _the_state_stays_small,
    _everything_can_be_shown,
)


@settings(max_examples=examples(70), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_happens_no_task_is_stuck_and_nothing_is_sent_twice(data: st.DataObject) -> None:
    shell = Shell(data)
    for _ in range(60):
        shell.go_on()
        for holds in ALWAYS:
            holds(shell)
        if shell.state.final is not None and not shell.under_way:
            break
    shell.wind_up()
    assert shell.state.final is not None
    assert shell.commands == [Finish(status=shell.state.final)]
    assert shell.state.requests == {}
