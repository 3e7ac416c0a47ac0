"""What people are shown of a large value: every member, the small ones whole."""

import json

from hypothesis import given
from hypothesis import strategies as st

from core.shortening import LEAST_BYTES, shortened

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=30), inner, max_size=30),
    max_leaves=60,
)


@given(value=JSON, limit=st.integers(LEAST_BYTES, 500))
def test_whatever_the_value_it_fits_and_keeps_its_kind(value: object, limit: int) -> None:
    found = shortened(value, limit)
    size = len(json.dumps(value))
    assert len(json.dumps(found)) <= limit
    assert (found == value) == (size <= limit) or json.dumps(found) == json.dumps(value)
    if isinstance(value, dict | list):
        assert isinstance(found, type(value))


def test_small_members_stay_whole_beside_a_large_one() -> None:
    call = {"result": {"padding": "x" * 3_000_000, "id": 967}, "args": {"memo": "T1-1", "amount_cents": 7167}}
    found = shortened(call, 1024)
    assert found["args"] == call["args"]
    assert found["result"]["id"] == 967
    assert found["result"]["padding"].endswith("xxx... (3000000 characters)")
    assert len(found["result"]["padding"]) > 700


def test_members_and_items_that_have_no_room_are_counted() -> None:
    assert shortened(list(range(500)), 400)[-1] == "... 495 more"
    found = shortened({f"name{n}": n for n in range(500)}, 400)
    assert found["..."] == f"{500 - (len(found) - 1)} more"
    assert next(iter(found)) == "name0"
