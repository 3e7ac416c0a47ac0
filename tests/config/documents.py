"""Arbitrary TOML documents that look somewhat like the ones that are meant."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_SCALARS = (
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=12)
    | st.sampled_from(
        ["1h", "tools.py", "instructions.md", "ask", "allow", "issue_refund", "args.a <= 1", "true", "task"]
    )
)


def documents(keys: Sequence[str]) -> st.SearchStrategy[str]:
    """Write tables whose keys are mostly known ones, with values of any kind and nesting."""
    names = st.sampled_from(keys) | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=6
    )
    values = st.recursive(
        _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
    )
    return st.dictionaries(names, values, max_size=6).map(_write)


def _write(document: dict[str, Any]) -> str:
    return "\n".join(f"{json.dumps(key)} = {_value(value)}" for key, value in document.items())


def _value(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(_value(inner) for inner in value) + "]"
        case _:
            return json.dumps(value)
