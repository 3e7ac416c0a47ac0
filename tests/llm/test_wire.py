"""Plan documents as vendors send them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llm.wire import MAX_BYTES, Fault, decode, plan_schema
from tests.exploring import examples
from tests.llm.conftest import DECODED, PLAN

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
plan_like = st.fixed_dictionaries(
    {},
    optional={
        "steps": st.lists(
            st.fixed_dictionaries({}, optional={"id": json_values, "args": json_values, "after": json_values})
        ),
        "finish": json_values,
        "ask": json_values,
        "confidence": json_values,
    },
)


def fault_of(text: str) -> str:
    decoded = decode(text)
    assert isinstance(decoded, Fault)
    return decoded.words


def test_args_become_objects_and_all_else_stays() -> None:
    assert decode(json.dumps(PLAN)) == DECODED


def test_nulls_inside_of_args_stay() -> None:
    assert decode('{"steps": [{"id": "s1", "args": "{\\"note\\": null}"}]}') == {
        "steps": [{"id": "s1", "args": {"note": None}}]
    }


def test_args_that_are_an_object_already_are_taken() -> None:
    assert decode('{"steps": [{"id": "s1", "args": {"a": 1}}]}') == {"steps": [{"id": "s1", "args": {"a": 1}}]}


@given(st.text())
def test_any_text_decodes_or_is_a_fault(text: str) -> None:
    assert isinstance(decode(text), dict | Fault)


@given(json_values | plan_like)
@settings(max_examples=examples(200))
def test_any_json_decodes_to_plain_json_or_is_a_fault(value: Any) -> None:
    decoded = decode(json.dumps(value))
    if isinstance(decoded, Fault):
        decoded.words.encode()
    else:
        json.dumps(decoded, ensure_ascii=False, allow_nan=False).encode()


@given(st.text(alphabet='[]{}",:\\ aé0\ud800'))
def test_text_that_resembles_json_decodes_or_is_a_fault(text: str) -> None:
    assert isinstance(decode(text), dict | Fault)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Sure! Here is the plan.", "not JSON: Expecting value at line 1, column 1"),
        ('{"steps": [', "not JSON"),
        ("[]", "an array"),
        ("null", "null"),
        ('{"confidence": NaN}', "NaN is not a JSON number"),
        ('{"confidence": -Infinity}', "-Infinity is not a JSON number"),
        ('{"confidence": 1e999}', "too large"),
        ('{"confidence": ' + "9" * 5000 + "}", "5000 digits"),
        ('{"ask": "a", "ask": "b"}', 'the key "ask" stands twice'),
        ('{"ask": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "deeper than 64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "deeper than 64 levels"),
        ('{"ask": "' + "a" * MAX_BYTES + '"}', "longer than 1000000 bytes"),
        ('{"ask": "' + "é" * (MAX_BYTES // 2) + '"}', "longer than 1000000 bytes"),
    ],
)
def test_what_is_not_a_json_object_is_a_fault_in_words(text: str, said: str) -> None:
    assert said in fault_of(text)


def test_64_levels_are_taken_and_brackets_in_strings_do_not_count() -> None:
    assert isinstance(decode('{"a":' * 64 + "1" + "}" * 64), dict)
    assert decode('{"ask": "\\"' + "[" * 100 + '"}') == {"ask": '"' + "[" * 100}


def test_faults_of_all_args_are_told_at_once() -> None:
    steps = [{"id": "s1", "args": "{"}, {"id": "s2", "args": "[1]"}, {"id": "s3", "args": "{}"}]
    words = fault_of(json.dumps({"steps": steps}))
    assert "step 1 (s1)" in words
    assert "step 2 (s2)" in words
    assert "holds an array" in words
    assert "s3" not in words


def test_args_with_a_duplicate_key_are_a_fault() -> None:
    assert "stands twice" in fault_of(json.dumps({"steps": [{"id": "s1", "args": '{"a": 1, "a": 2}'}]}))


def objects_of(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects_of(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for item in schema.values() for found in objects_of(item)]


@pytest.mark.parametrize("bounded", [True, False])
def test_schema_is_strict_and_describes_the_plan(bounded: bool) -> None:
    schema = plan_schema(bounded=bounded)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(PLAN)
    assert len(objects_of(schema)) == 3
    for found in objects_of(schema):
        assert found["additionalProperties"] is False
        assert found["required"] == list(found["properties"])


def test_schema_without_bounds_has_no_keyword_that_anthropic_refuses() -> None:
    text = json.dumps(plan_schema(bounded=False))
    assert not [word for word in ("maxLength", "maxItems", "minimum", "maximum", "pattern") if word in text]
    assert "maxLength" in json.dumps(plan_schema(bounded=True))
