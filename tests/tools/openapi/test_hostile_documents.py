"""Documents that are broken, or made to do harm: a clear error within bounded time, and nothing else."""

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.exploring import examples
from tests.tools.openapi.serving import BILLING, loaded
from tools.openapi.faults import Fault, SourceFaults
from tools.openapi.loading import UNFORESEEN

GOOD = yaml.safe_load((BILLING / "billing.yaml").read_text())
ADDRESS = "http://127.0.0.1:9"
LONGEST = 10.0
"""Seconds for one document, on a machine that is shared; without bounds these take hours, or all memory."""


def problem(folder: Path, text: str | bytes, name: str = "api.yaml", **table: Any) -> str:
    """Load a document that cannot be used; return what is said of it, and check that it names the file."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.monotonic()
    with pytest.raises(SourceFaults) as caught:
        loaded(ADDRESS, folder, spec=name, **table)
    assert time.monotonic() - began < LONGEST
    said = "\n".join(fault.problem for fault in caught.value.faults)
    assert all(str(folder / name) in fault.problem or fault.place for fault in caught.value.faults)
    assert len(said) < 20_000
    return said


def document(paths: Any, version: str = "3.1.0", **more: Any) -> str:
    return json.dumps({"openapi": version, "info": {"title": "x", "version": "1"}, "paths": paths, **more})


def operation(**more: Any) -> dict[str, Any]:
    return {"operationId": "act", "responses": {"200": {"description": "ok"}}, **more}


def parameter(**more: Any) -> dict[str, Any]:
    return {"/x": {"get": operation(parameters=[{"name": "p", "in": "query", "schema": {"type": "string"}, **more}])}}


def body(schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    return {"/x": {"post": operation(requestBody={"content": {media_type: {"schema": schema}}})}}


def answer(schema: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"/x": {"get": operation(responses={"200": {"description": "ok", "content": content}})}}


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
DOUBLING = {f"s{n}": {"anyOf": [{"$ref": f"#/components/schemas/s{n + 1}"}] * 2} for n in range(38)} | {"s38": {}}
CHAIN = {f"s{n}": {"$ref": f"#/components/schemas/s{n + 1}"} for n in range(5_000)} | {"s5000": {}}
LOOP = {"s0": {"allOf": [{"$ref": "#/components/schemas/s1"}]}, "s1": {"anyOf": [{"$ref": "#/components/schemas/s0"}]}}
FIRST = {"$ref": "#/components/schemas/s0"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no OpenAPI document"),
        ("[1, 2]", "is no OpenAPI document"),
        ("swagger: '2.0'", "a Swagger 2.0 document; convert it to OpenAPI 3"),
        ("openapi: 4.0.0", "expected 3.0 or 3.1, found '4.0.0'"),
        ("openapi: 3.1.0\npaths: []", "#/paths: expected an object"),
        ("openapi: 3.1.0\npaths: {}", "there is no operation in it"),
        ("openapi: 3.1.0\n\tpaths: {}", ":2:1: is not YAML"),
        ("openapi: 3.1.0\nopenapi: 3.0.0", ":2:1: is not YAML: the key 'openapi' stands twice"),
        ("openapi: !!python/object/apply:os.system [exit]", "is not YAML"),
        (b"openapi: \xff\xfe", ":1: is not UTF-8 text"),
        ("{" * 100_000, "is not JSON"),
        ("[" * 100_000, "is nested more than 64 deep"),
        ('{"openapi": "3.1.0",', "is not JSON"),
        ('{"openapi": "3.1.0", "openapi": "3.1.0"}', "the key 'openapi' stands twice"),
        ('{"openapi": "3.1.0", "x": NaN}', "NaN is no JSON value"),
        (f'{{"openapi": "3.1.0", "x": {"9" * 6_000}}}', "is not JSON that can be read"),
        ('{"openapi": "3.1.0", "x": 1e999}', "is no number that JSON has"),
        (LAUGHS, "values with its aliases written out"),
        ("a: &a [*a]", "stands inside of what it names"),
        ("a: *b", "*b stands inside of what it names, or before it"),
        ("x" * (5 * 1024 * 1024), "of YAML; save it as JSON"),
        ('{"a": "' + "x" * (17 * 1024 * 1024) + '"}', "has more than 16,777,216 bytes"),
        ("{" + ",".join(f'"k{n}": 0' for n in range(400_000)) + ', "k0": 0}', "stands twice"),
        (document({"x": {"get": operation()}}), "expected a path: a / in front"),
        (document({".evil.example/x": {"get": operation()}}), "expected a path: a / in front"),
        (document({"/x?y=<1": {"get": operation()}}), "expected a path"),
        (document({"/x": []}), "#/paths/~1x: expected an object"),
        (document({"/x": {"get": []}}), "#/paths/~1x/get: expected an object"),
        (document({"/x": {"$ref": "other.yaml#/x"}}), "only references within this file"),
        (document({"/x": {"$ref": "https://evil.example/x.yaml"}}), "only references within this file"),
        (document({"/x": {"$ref": "#/paths/~1x"}}), "references lead from one to the next without an end"),
        (document({"/{id}": {"get": operation()}}), "the path has {id}, and no path parameter of this name"),
        (document(parameter(**{"in": "path"})), "the path parameter 'p' is not in the path"),
        (document(parameter(**{"in": "cookie"})), "'p' goes into a cookie, which is not sent; name it in `omit`"),
        (document(parameter(**{"in": "moon"})), "#/paths/~1x/get/parameters/0/in: "),
        (document(parameter(style="spaceDelimited")), "'p' has style 'spaceDelimited', which is not supported"),
        (document(parameter(schema={"type": "object"})), "'p' is an object in style 'form' with explode true"),
        (document(parameter(schema=None)), "'p' has no schema"),
        (document(parameter(schema=[])), "expected a schema, which is an object"),
        (document(parameter(schema={"type": "strin"})), "is no JSON Schema"),
        (document(parameter(schema={"type": [[]]})), "/schema/type: expected the name of a type"),
        (document(parameter(schema={"$ref": "#/nowhere"})), "$ref leads to '#/nowhere', and there is nothing"),
        (document(parameter(schema={"$id": "http://x"})), "uses $id, which changes what references mean"),
        (document(parameter(schema={"pattern": 5})), "expected a regular expression"),
        (document(parameter(schema={"enum": [2**70]})), "no canonical JSON"),
        (document({"/x": {"get": operation(parameters={})}}), "#/paths/~1x/get/parameters: expected an array"),
        (document(body({}, "multipart/form-data")), "expected application/json or"),
        (document(body({"type": "string"}, "application/x-www-form-urlencoded")), "a form whose schema is no plain"),
        (document(body(LOOP["s0"]), components={"schemas": LOOP}), "refers to itself without end"),
        (document(answer(FIRST), components={"schemas": LOOP}), "refers to itself without end"),
        (document(answer(FIRST), components={"schemas": DOUBLING}), "its references multiply"),
        (document({"/x": {"get": operation(responses=[])}}), "/responses: expected an object"),
        (document({"/x": {"get": operation(operationId="9")}}), "its tool would be called '9'"),
        (document({"/x": {"get": operation(operationId="notify")}}), "its tool would be called 'notify'"),
        (
            document({f"/{n}": {"get": operation(operationId=f"a{n}")} for n in range(200)}),
            "200 operations would become tools",
        ),
    ],
)
def test_document_that_cannot_be_used_is_named_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in problem(tmp_path, text)


def test_chain_of_references_is_followed_as_far_as_it_is_of_use(tmp_path: Path) -> None:
    text = document(answer(FIRST), components={"schemas": CHAIN})
    (tmp_path / "api.json").write_text(text)
    schema = loaded(ADDRESS, tmp_path).tools["act"].contract.result_schema
    assert schema is not None
    assert len(schema["$defs"]) == 4


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFaults, match=r"nope\.yaml: cannot be read: No such file"):
        loaded(ADDRESS, tmp_path, spec="nope.yaml")


def test_file_of_fifty_megabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    assert "has more than" in problem(tmp_path, b'{"openapi": "' + b"x" * 50_000_000)


def test_every_fault_of_a_document_is_shown_at_once(tmp_path: Path) -> None:
    paths = {f"/{n}": {"get": operation(operationId=f"a{n}", parameters=[{"name": n}])} for n in range(3)}
    said = problem(tmp_path, document(paths))
    assert [f"#/paths/~1{n}/get/parameters/0" in said for n in range(3)] == [True] * 3


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["#/paths", "$ref"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["$ref", "type", "allOf", "schema", "in", "name"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, part in parts for place in places(part, (*path, key))]


PLACES = places(GOOD)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=3))
def test_any_part_of_a_document_may_be_anything(tmp_path: Path, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    changed = copy.deepcopy(GOOD)
    for place, junk in changes:
        put(changed, place, junk)
    (tmp_path / "api.json").write_text(json.dumps(changed))
    assert_usable_or_named(tmp_path, "api.json")


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 4_000), length=st.integers(0, 200), junk=st.binary(max_size=50))
def test_any_bytes_of_a_document_may_be_damaged(tmp_path: Path, start: int, length: int, junk: bytes) -> None:
    good = (BILLING / "billing.yaml").read_bytes()
    (tmp_path / "api.yaml").write_bytes(good[:start] + junk + good[start + length :])
    assert_usable_or_named(tmp_path, "api.yaml")


def put(value: Any, place: tuple[Any, ...], junk: Any) -> None:
    for key in place[:-1]:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):  # an earlier change took it away
            return
    if isinstance(value, dict) or (isinstance(value, list) and isinstance(place[-1], int) and place[-1] < len(value)):
        value[place[-1]] = junk


def assert_usable_or_named(folder: Path, name: str) -> None:
    named: tuple[Fault, ...] = ()
    tools: dict[str, Any] = {}
    try:
        tools = dict(loaded(ADDRESS, folder, spec=name).tools)
    except SourceFaults as error:
        named = error.faults
    assert bool(named) is not bool(tools)
    assert all(name in fault.problem or fault.place for fault in named)
    assert not any(UNFORESEEN in fault.problem for fault in named)
    for tool in tools.values():
        assert tool.contract.digest
        assert tool.contract.args_schema["additionalProperties"] is False
