"""What is said of a call in doubt: the door keeps to the same times (tests/activities/test_crashes.py)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.contract import Contract, Effect
from core.outlook import is_in_doubt, outlook
from core.receipts import Row, RowState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def contract(effect: Effect, **fields: Any) -> Contract:
    return Contract(name="pay", description="", effect=effect, args_schema={}, **fields)


def row(effect: Effect, **fields: Any) -> Row:
    base: dict[str, Any] = {"key": "k", "task_id": "t1", "step": "r1.s1", "intent": 1, "revision": 1, "agent": "desk"}
    base |= {"tool": "pay", "effect": effect, "contract_digest": "c", "fingerprint": "f", "similarity": "s", "args": {}}
    base |= {"state": RowState.IN_FLIGHT, "fence": 2, "lease_until": NOON + HOUR, "opened_at": NOON, "sends": 5}
    return Row(**{**base, "first_marked_at": NOON, "send_deadline": NOON + 30 * SECOND, **fields})


@pytest.mark.parametrize(
    ("effect", "declared", "after", "said"),
    [
        (Effect.IDEMPOTENT, {}, SECOND, "it is sent again until 13:00:00 UTC; if no answer comes, a person is asked"),
        (Effect.IDEMPOTENT, {}, HOUR, "a person is asked next"),
        (Effect.IDEMPOTENT, {"attempts": 6}, HOUR, "it is sent again; if no answer comes, a person is asked"),
        (Effect.KEYED, {"key_window": HOUR}, SECOND, "it is sent again until 12:30:00 UTC; if no answer"),
        (Effect.KEYED, {"key_window": HOUR, "attempts": 6}, HOUR / 2, "a person is asked next"),
        (Effect.KEYED, {"key_window": 24 * HOUR}, SECOND, "it is sent again until 13:00:00 UTC"),
        (
            Effect.KEYED,
            {"key_window": HOUR, "has_probe": True},
            SECOND,
            "the provider is asked what became of it after",
        ),
        (Effect.PROBED, {"has_probe": True}, SECOND, '"not there" is believed from 12:00:35 UTC on'),
        (Effect.TRANSACTIONAL, {}, SECOND, "its receipt is looked for"),
        (Effect.UNREPEATABLE, {}, SECOND, "a person is asked next"),
    ],
)
def test_what_happens_next_follows_from_the_kind(
    effect: Effect, declared: dict[str, Any], after: timedelta, said: str
) -> None:
    assert said in outlook(row(effect), contract(effect, **declared), NOON + after)


@pytest.mark.parametrize("effect", [one for one in Effect if one is not Effect.READ])
def test_without_the_contract_no_time_is_named(effect: Effect) -> None:
    said = outlook(row(effect), None, NOON)
    assert said
    assert "UTC" not in said
    assert said == outlook(row(effect), contract(Effect.READ), NOON), "a tool that changed says nothing of the old call"


@pytest.mark.parametrize(
    ("fields", "is_one"),
    [
        ({}, False),
        ({"doubtful": True}, True),
        ({"lease_until": NOON}, True),
        ({"state": RowState.IN_DOUBT}, True),
        ({"state": RowState.NEEDS_PERSON, "doubtful": True}, False),
        ({"state": RowState.SUCCEEDED, "doubtful": True}, False),
    ],
)
def test_first_send_that_is_under_way_is_no_doubt_yet(fields: dict[str, Any], is_one: bool) -> None:
    assert is_in_doubt(row(Effect.KEYED, **fields), NOON) is is_one
