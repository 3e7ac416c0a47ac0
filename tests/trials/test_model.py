"""The model of the protocol: it finds nothing in the rules and catches what is wrong; its moves are the ledger's."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert

from core.contract import Effect
from core.receipts import TRANSITIONS, Move, Row, RowState
from ledger.rows import read_row, statement_of
from ledger.tables import effects, metadata
from trials.model.mutants import MUTANTS
from trials.model.proving import FEWEST_MUTANTS, Proof, catch, outcome_of
from trials.model.rows import move
from trials.model.rules import HOLDING, Assumptions, Rules
from trials.model.scenes import LARGE, SMALL
from trials.model.search import Search, TooLarge
from trials.model.state import Call, Clock, Scene

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ONE_SEND = Scene("unrepeatable, one send", Effect.UNREPEATABLE, attempts=1, most_sends=1)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("model")
    engine = create_engine(f"sqlite:///{folder / 'ledger.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_the_rules_keep_every_promise() -> None:
    for scene in (ONE_SEND, SMALL["idempotent"]):
        found = Search(scene, Rules()).run()
        assert not found.broken, found.trace
        assert found.states > 1_000


@pytest.mark.parametrize("name", ["doubt-reserves", "absent-dated-late", "no-asking", "no-tombstone"])
def test_a_mutant_is_caught_with_the_way_to_it(name: str) -> None:
    found = catch(BY_NAME[name])
    assert found.broken
    assert found.trace[0].startswith("worker A | arrives")
    assert all(" | " in line for line in found.trace)


def test_the_shortest_way_to_paying_twice_is_told_step_by_step() -> None:
    found = catch(BY_NAME["lease-permits"])
    assert set(found.broken) == {"G1"}
    assert sum("sends call 0" in line for line in found.trace) == 2
    assert "arrives, the answer is yes" in found.trace[-1]


def test_a_move_that_is_missing_from_the_table_strands_a_call() -> None:
    table = {at: after for at, after in TRANSITIONS.items() if at != (RowState.RESERVED, Move.MARK)}
    found = Search(ONE_SEND, Rules(table=table)).run()
    assert set(found.broken) == {"G2"}


def test_a_person_who_is_wrong_is_a_known_residual_of_unrepeatable() -> None:
    rules = Rules(world=replace(Assumptions(), people_know=False))
    assert Search(SMALL["unrepeatable"], rules, at_first=True).run().broken


def test_a_transactional_call_needs_no_process_and_no_commit_to_end_in_time() -> None:
    world = replace(Assumptions(), sends_end=False, packets_end=False, no_is_steady=False)
    found = Search(SMALL["transactional"], Rules(world=world)).run()
    assert not found.broken, found.trace


def test_a_search_that_cannot_be_finished_proves_nothing() -> None:
    with pytest.raises(TooLarge, match="more than 100 states"):
        Search(ONE_SEND, Rules(), most_states=100).run()


def test_the_mutants_are_many_and_name_scenes_that_exist() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= FEWEST_MUTANTS
    assert {mutant.scene for mutant in MUTANTS} <= set(SMALL)
    assert {scene.effect for scene in LARGE.values()} == set(Effect) - {Effect.READ}


def test_a_surviving_mutant_and_too_few_states_break_a_bound() -> None:
    unharmed = Search(ONE_SEND, Rules()).run()
    proof = Proof(scenes=[unharmed], mutants=[(mutant, unharmed) for mutant in MUTANTS])
    broken = {figure.name for figure in outcome_of(proof).figures if figure.holds is False}
    assert broken == {"different states", "mutants of the rules that were caught"}


EVERY_ROW = list(itertools.product(RowState, (False, True), (Clock.FRESH, Clock.LEASE_OVER), (False, True)))


@pytest.mark.parametrize("made", Move)
def test_the_model_moves_rows_as_the_ledger_does(engine: Engine, made: Move) -> None:
    moved = 0
    with engine.connect() as db:
        for state, doubtful, clock, is_behind in EVERY_ROW:
            call = Call(state=state, doubtful=doubtful, clock=clock, sends=1)
            expected = move(Rules(), call, made, is_behind=is_behind)
            row = _moved(db, call, made, fence=6 if is_behind else 7)
            assert _seen(expected, made) == _told(row), (state, made, doubtful, clock, is_behind)
            moved += row is not None
            db.rollback()
    assert moved


def _moved(db: Connection, call: Call, made: Move, *, fence: int) -> Row | None:
    """Make the move in the real ledger, on a row under fence 7."""
    words = ("task_id", "step", "agent", "tool", "contract_digest", "fingerprint", "similarity", "run_id")
    lease = NOW + MINUTE if call.clock is Clock.FRESH else NOW - MINUTE
    fields = {"key": "k", "intent": 1, "revision": 1, "effect": "keyed", "args": {}, "origin": {}, "opened_at": NOW}
    stands = {"state": call.state, "fence": 7, "lease_until": lease, "sends": call.sends, "doubtful": call.doubtful}
    db.execute(insert(effects).values(**dict.fromkeys(words, "x"), **fields, **stands))
    values = {"lease_until": NOW + MINUTE} if made in HOLDING else {}
    found = db.execute(statement_of(made), {"the_key": "k", "the_fence": fence, "now": NOW, **values})
    return read_row(found.mappings().first())


def _seen(call: Call | None, made: Move) -> tuple[object, ...] | None:
    if call is None:
        return None
    is_bumped = made in Rules().bumping
    is_free = call.clock >= Clock.LEASE_OVER if call.state is RowState.RESERVED else made not in HOLDING
    return call.state, call.doubtful, call.sends, is_bumped, is_free


def _told(row: Row | None) -> tuple[object, ...] | None:
    if row is None:
        return None
    return row.state, row.doubtful, row.sends, row.fence == 8, row.lease_until <= NOW
