"""`[[openapi]]` in an agent.toml: what is loaded, and every fault with its place."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from config.agents import load_agents
from config.settings import Settings
from core.contract import Effect

HEAD = 'owner = "x"\ntools = []\nmodels = ["openai:x"]\n'
TABLE = '[[openapi]]\nname = "shop"\nspec = "shop.json"\nbase_url = "https://shop.example/v1"\n'
OK: dict[str, Any] = {"responses": {"200": {"description": "ok"}}}
VERSION = {"name": "If-Match", "in": "header", "schema": {"type": "string"}}
ORDER = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
AMOUNT = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}, "note": {}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "shop", "version": "1"},
    "paths": {
        "/orders": {"get": {"operationId": "listOrders", **OK}, "head": {"operationId": "peek", **OK}},
        "/orders/{id}": {
            "parameters": [ORDER],
            "get": {"operationId": "getOrder", **OK},
            "put": {"operationId": "setOrder", "parameters": [VERSION], **OK},
            "delete": {**OK},
        },
        "/refunds": {
            "put": {"operationId": "putRefund", **OK},
            "post": {
                "operationId": "create-refund",
                "requestBody": {"required": True, "content": {"application/json": {"schema": AMOUNT}}},
                **OK,
            },
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "agents" / "desk"
    folder.mkdir(parents=True)
    (folder / "instructions.md").write_text("Be kind.")
    (folder / "shop.json").write_text(json.dumps(DOCUMENT))
    return folder


def load(folder: Path, text: str) -> Any:
    (folder / "agent.toml").write_text(HEAD + text)
    return load_agents(Settings(agents=(folder.parent,), folder=folder.parent.parent))


def problem(folder: Path, text: str) -> str:
    return str(dict(load(folder, text).problems())["desk"])


def test_operations_become_tools_with_the_effects_that_http_promises(folder: Path) -> None:
    tools = load(folder, TABLE).get("desk").tools
    assert {name: tool.contract.effect for name, tool in tools.items()} == {
        "listOrders": Effect.READ,
        "peek": Effect.READ,
        "getOrder": Effect.READ,
        "setOrder": Effect.IDEMPOTENT,
        "delete_orders_id": Effect.UNREPEATABLE,
        "putRefund": Effect.UNREPEATABLE,
        "create_refund": Effect.UNREPEATABLE,
    }
    assert tools["setOrder"].contract.args_schema["required"] == ["id", "If-Match"]
    assert {tool.contract.source for tool in tools.values()} == {"openapi:shop"}


def test_only_except_and_prefix_choose_and_name(folder: Path) -> None:
    text = TABLE + 'only = ["*Order", "create-refund"]\nexcept = ["setOrder"]\nprefix = "shop_"\n'
    assert sorted(load(folder, text).get("desk").tools) == ["shop_create_refund", "shop_getOrder"]


def test_contract_says_what_the_document_cannot(folder: Path) -> None:
    declared = """idempotency_header = "Idempotency-Key"
[openapi.contracts.create-refund]
name = "refund"
effect = "keyed"
key_window = "24h"
timeout = "7s"
attempts = 2
identity = ["amount"]
omit = ["note"]
approve_hint = "refund {amount}"
"""
    contract = load(folder, TABLE + declared).get("desk").tools["refund"].contract
    assert contract.effect is Effect.KEYED
    assert (contract.timeout.total_seconds(), contract.attempts, contract.identity) == (7, 2, ("amount",))
    assert list(contract.args_schema["properties"]) == ["amount"]


def test_sources_of_agents_are_closed_with_them(folder: Path) -> None:
    agents = load(folder, TABLE)
    assert [source.name for source in agents.get("desk").sources] == ["shop"]
    asyncio.run(agents.aclose())


def test_example_agent_declares_every_write_of_its_document() -> None:
    root = Path(__file__).parent.parent.parent
    tools = load_agents(Settings(agents=(root / "agents",), folder=root)).get("billing_desk").tools
    assert {name: str(tool.contract.effect) for name, tool in tools.items() if tool.contract.writes} == {
        "createRefund": "keyed",
        "createCredit": "probed",
        "createCredit.undo": "idempotent",
        "setNote": "idempotent",
        "withdrawCredit": "idempotent",
    }


UNSAFE = "expected https:// in base_url: over http:// the secret of `auth` can be read on the way"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TABLE.replace('"https://shop.example/v1"', "{a = 1}"),
            "agent.toml:7: openapi[1].base_url: expected some text",
        ),
        (
            TABLE.replace("https", "http") + "auth = {bearer_env = 'T'}",
            f"agent.toml:4: openapi[1]: {UNSAFE}",
        ),
        (
            '[[mcp]]\nname = "a"',
            'agent.toml:4: mcp[1]: expected either command = ["PROGRAM", ...] or url = "https://..."',
        ),
        (
            '[[mcp]]\nname = "a"\nurl = "https://x"\n' * 2,
            "agent.toml:4: mcp: there are two servers called 'a'; rename one",
        ),
        ("limits.rounds = {}", "agent.toml:4: limits.rounds: expected a valid integer, found a table"),
        ("done.require = [[]]", "agent.toml:4: done.require[1]: expected some text, found an array"),
    ],
)
def test_fault_is_one_clear_sentence(folder: Path, text: str, said: str) -> None:
    assert problem(folder, text).replace(f"{folder}/", "") == said


def test_array_whose_only_element_is_wrong_is_not_said_to_be_empty_too(folder: Path) -> None:
    (folder / "agent.toml").write_text('owner = "x"\ntools = []\nmodels = [3]\n')
    agents = load_agents(Settings(agents=(folder.parent,), folder=folder.parent.parent))
    assert dict(agents.problems())["desk"].endswith("agent.toml:3: models[1]: expected some text, found 3")


CONTRACT = TABLE + "[openapi.contracts.create-refund]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TABLE + "nam = 1", "agent.toml:8: openapi[1].nam: unknown key; did you mean 'name'?"),
        (TABLE.replace("https://", "ftp://"), "agent.toml:7: openapi[1].base_url: expected an address such as"),
        (TABLE.replace("shop.example", "u:p@shop.example"), "openapi[1].base_url: expected an address such as"),
        (TABLE.replace("shop.json", "nope.json"), "agent.toml:6: openapi[1].spec: "),
        (TABLE + 'only = ["getOder"]', "agent.toml:8: openapi[1].only[1]: there is no operation 'getOder'"),
        (TABLE + 'except = ["nope"]', "agent.toml:8: openapi[1].except[1]: there is no operation 'nope'"),
        (TABLE + "auth = {bearer = 'x'}", "agent.toml:8: openapi[1].auth.bearer: unknown key"),
        (TABLE + "auth = {header = 'X-Key'}", 'openapi[1].auth: expected {bearer_env = "NAME"}'),
        (TABLE + "auth = {bearer_env = 'not a name'}", "openapi[1].auth.bearer_env: "),
        (TABLE.replace("https", "http") + "auth = {bearer_env = 'T'}", "openapi[1]: expected https:// in base_url"),
        (TABLE + "headers = {Host = 'x'}", "the client does not set itself"),
        (TABLE + "private_addresses = ['10.0.0.0/99']", "openapi[1].private_addresses[1]: expected an address or a"),
        (TABLE + "hosts = ['https://x']", "openapi[1].hosts[1]: expected a host"),
        (
            TABLE + 'except = ["set*"]\n[openapi.contracts.setOrder]',
            "agent.toml:9: openapi[1].contracts.setOrder: setOrder is no tool: `only` or `except` leaves it out",
        ),
        (TABLE + '[openapi.contracts."get*"]', "contracts.get*: there is no operation 'get*' in shop.json"),
        (TABLE + "[openapi.contracts.nope]", "agent.toml:8: openapi[1].contracts.nope: there is no operation 'nope'"),
        (CONTRACT + "effect = 'magic'", "agent.toml:8: openapi[1].contracts.create-refund: effect='magic' is none of"),
        (CONTRACT + "effect = 'keyed'", 'effect="keyed" needs key_window'),
        (CONTRACT + "effect = 'keyed'\nkey_window = '1h'", "needs idempotency_header"),
        (CONTRACT + "effect = 'probed'", 'effect="probed" needs probe'),
        (CONTRACT + "effect = 'transactional'\n", 'database="ENVIRONMENT_VARIABLE" go together'),
        (CONTRACT + "timeout = 'soon'", "timeout: expected a duration such as"),
        (CONTRACT + "identity = ['amont']", "has to be a tuple of names of arguments; they are: amount, note"),
        (CONTRACT + "approve_hint = '{amont}'", "approve_hint names 'amont'"),
        (CONTRACT + "key = 'ref'", "agent.toml:9: openapi[1].contracts.create-refund.key: there is no argument 'ref'"),
        (CONTRACT + "fill = {note = '$nope'}", "'$nope' stands for nothing; known are $key, $task, $step"),
        (CONTRACT + "omit = ['amount']", "'amount' is required, and `omit` names it"),
        (CONTRACT + "verify = {operation = 'nope'}", "there is no operation 'nope' among the tools"),
        (CONTRACT + "verify = {operation = 'putRefund'}", "putRefund may write; a look-up has to be a read"),
        (CONTRACT + "verify = {operation = 'getOrder'}", "getOrder needs 'id'"),
        (CONTRACT + "verify = {operation = 'getOrder', args = {x = 1}}", "getOrder has no argument 'x'"),
        (CONTRACT + "probe = {operation = 'getOrder', args = {id = '$result/x'}}", "'$result/x' stands for nothing"),
        (CONTRACT + "undo = {operation = 'nope'}", "create-refund.undo.operation: there is no operation 'nope'"),
        (CONTRACT + "undo = {operation = 'getOrder', args = {id = 'x'}}", "getOrder only reads; it takes nothing back"),
        (CONTRACT + "undo = {operation = 'delete/orders/{id}'}", "delete_orders_id needs 'id'"),
        (CONTRACT + "undo = {operation = 'putRefund', args = {x = 1}}", "putRefund has no argument 'x'; it has: none"),
        (
            CONTRACT + "undo = {operation = 'delete/orders/{id}', args = {id = '$answer/id'}}",
            "'$answer/id' stands for nothing; known are $key, $task, $step, $args/NAME, $inputs/NAME, $result/NAME",
        ),
        (
            TABLE + "[openapi.contracts.getOrder]\nundo = {operation = 'delete/orders/{id}', args = {id = '$args/id'}}",
            "getOrder only reads; there is nothing to take back",
        ),
        (CONTRACT + "name = 'no good'", "its tool would be called 'no good'"),
        (CONTRACT + "name = 'getOrder'", "two operations would become the tool 'getOrder'"),
        (TABLE + TABLE.replace('"shop"', '"other"'), "there is another tool called 'create_refund'; give this source"),
    ],
)
def test_fault_is_named_with_its_place(folder: Path, text: str, said: str) -> None:
    found = problem(folder, text)
    assert said in found
    assert "Traceback" not in found
