"""The trial of models in its smallest form: a real llmock, a real Temporal server, a real worker; and it can fail."""

from dataclasses import replace

import pytest

from trials.world.model_faults import FAULTS, Case
from trials.world.models import try_out

_BY_NAME = {fault.name: fault for fault in FAULTS}
pytestmark = pytest.mark.timeout(110)


async def test_some_faults_of_each_api_pass_the_verdict_of_llmock() -> None:
    wanted = [
        Case(_BY_NAME["rate-limit"], "responses", is_backed=False),
        Case(_BY_NAME["too-slow"], "chat", is_backed=True),
        Case(_BY_NAME["fail-529"], "anthropic", is_backed=True),
        Case(_BY_NAME["definite-401"], "anthropic", is_backed=False),
        Case(_BY_NAME["calls-a-tool"], "responses", is_backed=False),
    ]
    outcome = await try_out(wanted, is_full=False)
    assert [figure.holds for figure in outcome.figures] == [True] * 3, outcome.figures
    assert outcome.figures[0].measured == "5 of 5"


async def test_task_that_ends_otherwise_than_said_breaks_the_bound() -> None:
    wrong = replace(_BY_NAME["none"], alone="asks")
    outcome = await try_out([Case(wrong, "chat", is_backed=False)], is_full=False)
    assert not outcome.holds
    assert "completes, not asks" in outcome.figures[0].note
