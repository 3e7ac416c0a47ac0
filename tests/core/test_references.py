"""References: pointers, templates, origins, and the way there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.record import Json
from core.references import (
    MISSING,
    Later,
    Malformed,
    Reference,
    Unresolvable,
    escape,
    find,
    look_up,
    resolve,
)

TEXTS = st.text(max_size=8)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RESULTS: dict[str, Json] = {
    "s1": {"id": "x", "n": 5, "ok": True, "none": None, "rate": 1.5, "items": [{"a/b": 1, "c~d": 2}], "": "empty"},
    "r1.s2": ["zero", "one"],
    "inputs": {"order": 7},
}


def source(name: str) -> tuple[Json, str]:
    if name == "blob":
        raise Later(name)
    if name not in RESULTS:
        raise Unresolvable(f"{name} has no result")
    return RESULTS[name], "request" if name == "inputs" else f"tool:of_{name}"


def take(step: str, path: str | None = None) -> dict[str, Json]:
    return {"$from": step} if path is None else {"$from": step, "path": path}


def places(value: Json, at: str = "") -> list[tuple[str, Json]]:
    found = [(at, value)]
    if isinstance(value, dict):
        found += [one for name, item in value.items() for one in places(item, f"{at}/{escape(name)}")]
    if isinstance(value, list):
        found += [one for index, item in enumerate(value) for one in places(item, f"{at}/{index}")]
    return found


@given(VALUES)
def test_pointer_of_every_place_leads_there(value: Json) -> None:
    for at, item in places(value):
        assert look_up(value, at) is item or look_up(value, at) == item


@pytest.mark.parametrize(
    "path",
    [
        "/no",
        "/items/1",
        "/items/-1",
        "/items/-",
        "/items/00",
        "/items/\u0660",
        "/id/0",
        "/n/x",
        "/items/0/a",
        "/items/" + "9" * 5000,
    ],
)
def test_pointer_to_nothing_finds_nothing(path: str) -> None:
    assert look_up(RESULTS["s1"], path) is MISSING
    with pytest.raises(Unresolvable, match="s1 has nothing at"):
        resolve({"a": take("s1", path)}, source)


@pytest.mark.parametrize(
    ("planned", "value", "origin"),
    [
        (take("s1", "/id"), "x", "tool:of_s1"),
        (take("s1", "/none"), None, "tool:of_s1"),
        (take("s1", "/"), "empty", "tool:of_s1"),
        (take("s1", "/items/0/a~1b"), 1, "tool:of_s1"),
        (take("s1", "/items/0/c~0d"), 2, "tool:of_s1"),
        (take("r1.s2", "/1"), "one", "tool:of_r1.s2"),
        (take("r1.s2"), ["zero", "one"], "tool:of_r1.s2"),
        (take("inputs", "/order"), 7, "request"),
        ("{{s1/id}}", "x", "tool:of_s1"),
        ("{{ s1/n }}", "5", "tool:of_s1"),
        ("no {{s1/n}} of {{s1/ok}}", "no 5 of true", None),
        ("{{inputs/order}}", "7", "request"),
        ("{{{{s1/id}}", "{{s1/id}}", None),
        ("{{{s1/id}}}", "{x}", None),
        ("a {{{{ b", "a {{ b", None),
        ("a }} b { c } {{", "a }} b { c } {{", None),
        ("plain", "plain", None),
    ],
)
def test_reference_takes_its_value_and_origin(planned: Json, value: Json, origin: str | None) -> None:
    resolved = resolve({"a": planned}, source)
    assert resolved.value == {"a": value}
    assert resolved.origin.get("/a") == origin


@pytest.mark.parametrize(
    ("planned", "problem"),
    [
        ("{{s1}}", "dict"),
        ("{{s1/items}}", "list"),
        ("{{s1/none}}", "NoneType"),
        ("{{s1/rate}}", "float"),
        ("{{s1/no}}", "nothing there"),
        ("{{s9/x}}", "s9 has no result"),
        (take("s9"), "s9 has no result"),
        ({"$from": None}, "a reference is"),
        ({"$from": "s1", "default": 1}, "a reference is"),
        ({"$from": "s1", "path": "id"}, "JSON pointer"),
    ],
)
def test_reference_without_a_value_is_named(planned: Json, problem: str) -> None:
    with pytest.raises(Unresolvable, match=problem):
        resolve({"a": planned}, source)


def test_value_that_only_the_door_has_is_left_to_it() -> None:
    resolved = resolve({"a": take("blob", "/x"), "b": ["see {{s1/id}} and {{blob/y}}"], "c": 1}, source)
    assert resolved.value == {"a": None, "b": [None], "c": 1}
    assert resolved.deferred == {"/a": take("blob", "/x"), "/b/0": "see {{s1/id}} and {{blob/y}}"}


@given(VALUES)
def test_arguments_without_references_stay_as_they_are(value: Json) -> None:
    if not list(find(value)) and "{{" not in str(value):
        assert resolve(value, source).value == value


@given(TEXTS)
def test_any_text_can_be_written_literally(text: str) -> None:
    """Doubling the braces that open is enough, whatever follows them."""
    written = text.replace("{{", "{{{{")
    if "{{{" not in text:
        assert list(find(written)) == []
        assert resolve(written, source).value == text


@given(VALUES, st.sampled_from(["s1", "r1.s2", "inputs"]))
def test_what_is_found_is_what_is_resolved(value: Json, step: str) -> None:
    args = {"x": value, "y/z": [take(step), f"to {{{{{step}/q}}}}"]}
    found = {(one.at, one.step) for one in find(args) if isinstance(one, Reference)}
    assert {("/y~1z/0", step), ("/y~1z/1", step)} <= found


@pytest.mark.parametrize("text", ["{{}}", "{{ }}", "{{S1/x}}", "{{s1.x}}", "{{s1 /x y}} {{a b}}", "{{1s}}", "{{r1.}}"])
def test_text_that_only_looks_like_a_reference_is_malformed(text: str) -> None:
    assert any(isinstance(one, Malformed) for one in find(text))
