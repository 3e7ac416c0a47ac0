"""Whatever a server answers: a clear error or a result, never a crash, and never an effect counted twice."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import NotSent, Refused
from core.names import canonical
from core.ports import Certainty, Tool
from tests.exploring import examples
from tests.tools.mcp.desk import KEYED, PAY, Desk, call
from tools.mcp.faults import ConnectionEnded, ToolChanged, UnreadableAnswer
from tools.mcp.pins import Pin
from tools.mcp.results import problem_in, read_answer, to_json

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "audio", "resource", "resource_link", "magic"]) | scalars},
    optional={
        "text": values,
        "data": values,
        "mimeType": values,
        "uri": values,
        "resource": values,
    },
)
results = st.fixed_dictionaries(
    {},
    optional={
        "content": st.lists(blocks, max_size=3) | values,
        "isError": st.booleans() | values,
        "structuredContent": values,
        "resultType": st.sampled_from(["complete", "input_required"]) | values,
    },
)
lines = st.one_of(
    results.map(lambda result: json.dumps({"jsonrpc": "2.0", "id": "$ID", "result": result}).replace('"$ID"', "$ID")),
    values.map(lambda error: json.dumps({"jsonrpc": "2.0", "id": "$ID", "error": error}).replace('"$ID"', "$ID")),
    values.map(json.dumps),
    st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=60),
    st.integers().map(lambda number: json.dumps({"jsonrpc": "2.0", "id": number, "result": {}})),
    st.just("[" * 5_000),
    st.just('{"jsonrpc":"2.0","id":$ID,"result":' + '{"a":' * 500 + "1" + "}" * 501),
)
SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
KNOWN = (NotSent, Refused, ConnectionEnded, UnreadableAnswer, TimeoutError, ToolChanged)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("hostile"), KEYED)
    asyncio.run(desk.accept())
    return desk


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(lines, min_size=4, max_size=4))
def test_no_answer_of_a_server_crashes_or_counts_twice(desk: Desk, answers: list[str]) -> None:
    (desk.shop / "paid.log").unlink(missing_ok=True)
    asyncio.run(hear(desk, answers))
    assert [one["reference"] for one in desk.paid()] == [f"k{number}" for number in range(len(answers))]


async def hear(desk: Desk, answers: list[str]) -> None:
    async with desk.tools() as tools:
        for number, line in enumerate(answers):
            desk.fates({"instead": line})
            await pay(tools["pay"], f"k{number}", limit=0.3)
            async with asyncio.timeout(20):
                while not await pay(tools["pay"], f"k{number}", limit=5):
                    await asyncio.sleep(0.1)


async def pay(tool: Tool, key: str, limit: float) -> bool:
    """Pay; whatever goes wrong has to be an error that is known, and that can be sorted."""
    try:
        async with asyncio.timeout(limit):
            await tool.send(call(key), PAY)
    except KNOWN as error:
        found = tool.sort(error)
        assert found.message
        return found.certainty is Certainty.REFUSED
    return True


@settings(max_examples=examples(300), deadline=None)
@given(raw=results)
def test_every_result_is_read_or_refused(raw: dict[str, Any]) -> None:
    try:
        answer = read_answer(raw)
    except UnreadableAnswer:
        return
    for schema in (None, SCHEMA):
        value = to_json(answer, schema)
        canonical(value)
        assert not (schema and not problem_in(value) and "id" not in value)
    assert answer.reason


@settings(max_examples=examples(300), deadline=None)
@given(name=st.text(max_size=200), description=st.text(max_size=50), schema=values, output=values)
def test_every_description_is_usable_or_named(name: str, description: str, schema: Any, output: Any) -> None:
    said = {
        "name": name,
        "description": description,
        "input_schema": schema if isinstance(schema, dict) else {},
        "output_schema": output if isinstance(output, dict) else None,
    }
    pin = Pin.model_validate(said)
    if not pin.problem():
        assert len(pin.digest) == 32
        assert pin.input_schema["type"] == "object"
