"""tools: the contracts of an agent's tools, as the planner and the door know them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.accepting import ask_servers
from cli.options import AsJson, ConfigPath
from cli.screen import Screen, as_text, grid, span
from config.settings import load
from core.card import visible
from core.contract import Contract
from core.record import Json
from core.schemas import part_for


def tools(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Name of an agent's folder.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Ask its MCP servers what they offer, and pin that in tools.lock.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Ask its MCP servers, and show what differs from tools.lock.")
    ] = False,
) -> None:
    """Show the contracts of an agent's tools: effect, arguments, limits, and what happens after a doubt."""
    settings, screen = load(config), Screen(as_json=as_json)
    if accept or compare:
        ask_servers(settings, agent, screen, is_accepted=accept)
        return
    from config.agents import load_agents  # noqa: PLC0415 - loading agents imports their tools' libraries
    from config.mcp_servers import hints_of  # noqa: PLC0415 - as above

    found = load_agents(settings).get(agent)
    contracts = [(tool.contract, hints_of(tool)) for tool in found.tools.values()]
    screen.show(*(_picture(*one) for one in contracts))
    screen.data([_plain(*one) for one in contracts])


def _plain(contract: Contract, hints: Mapping[str, Json]) -> dict[str, Json]:
    said = {"server_hints": dict(hints)} if hints else {}
    return {**contract.model_dump(mode="json"), "digest": contract.digest, **said}


def _picture(contract: Contract, hints: Mapping[str, Json]) -> RenderableType:
    head = Text.assemble((visible(contract.name), "bold"), "  ", _effect(contract))
    rows = [
        ("arguments", _fields(contract.args_schema) or Text("none")),
        ("returns", _result(contract.result_schema)),
        ("limits", _limits(contract)),
        ("contract", Text(contract.digest)),
    ]
    if hints:
        said = ", ".join(f"{name} {as_text(value)}" for name, value in hints.items())
        rows.append(("server hints", Text(f"{visible(said)} (not believed)")))
    about = grid(*rows)
    return Group(head, Padding(Text(visible(contract.description)), (0, 0, 0, 2)), Padding(about, (0, 0, 1, 2)))


def _effect(contract: Contract) -> Text:
    has = {
        "preflight": contract.has_preflight,
        "verify": contract.has_verify,
        "probe": contract.has_probe,
        "undo": contract.has_undo,
    }
    kinds = ", ".join(name for name, there in has.items() if there)
    style = "cyan" if not contract.writes else "bold red" if contract.effect.value == "unrepeatable" else "yellow"
    return Text.assemble((contract.effect.value, style), (f"  with {kinds}" if kinds else "", "dim"))


def _result(schema: dict[str, Json] | None) -> Text:
    """Say what a call brings; nothing where the tool does not declare it."""
    if not schema:
        return Text()
    return _fields(part_for(schema, "")) or Text(visible(_kind(schema)))


def _fields(schema: Json) -> Text:
    found = schema if isinstance(schema, dict) else {}
    required = set(found.get("required", ()))
    lines = [
        f"{visible(name)}{'' if name in required else '?'}: {visible(_kind(one))}"
        for name, one in found.get("properties", {}).items()
    ]
    return Text(", ".join(lines))


def _kind(schema: Json) -> str:
    if not isinstance(schema, dict):
        return "anything"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return "|".join(str(one) for one in schema["enum"])
    kind = schema.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{kind} of {_kind(schema['items'])}" if schema.get("items") else kind


def _limits(contract: Contract) -> Text:
    lines = [f"{_span(contract.timeout)} a call, {contract.attempts} attempts"]
    if contract.key_window is not None:
        lines.append(f"key known for {_span(contract.key_window)}")
    if contract.has_probe:
        lines.append(f"settles within {_span(contract.settle_time)}")
    if contract.fresh_for is not None:
        lines.append(f"true for {_span(contract.fresh_for)}")
    if contract.fallback is not None:
        lines.append(f"else {contract.fallback}")
    if contract.identity is not None:
        lines.append(f"same intent: {', '.join(contract.identity)}")
    return Text(", ".join(lines))


def _span(duration: timedelta) -> str:
    return span(duration.total_seconds())
