"""tau2's telecom desk as one MCP server over stdio, like the packaged ones: ``-m ...telecom_server FOLDER``.

tau2 has no such server for telecom, whose gold actions are mostly the customer's. This one carries out each call in
tau2's own environment, one for each `state_key` (it ends in the task's place), and keeps a log of calls and the hash of
the state in FOLDER. It honours no key; `reference` is written into the log, as a shop writes a customer's number down.
Runs under the Python of var/world/tau2, and knows nothing of Lastmile.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from loguru import logger
from tau2.data_model.message import ToolCall

from trials.world.tau2.gold import environment, hash_of, tasks

_EXTRA = {"state_key": {"type": "string"}, "reference": {"type": "string"}}


class Desk:
    """All environments, and their logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks = tasks("telecom")
        self._made: dict[str, Any] = {}
        self._calls: dict[str, list[dict[str, Any]]] = {}
        made = self._of("any-0")
        self._tools = [tool.openai_schema["function"] for tool in (*made.get_user_tools(), *made.get_tools())]

    def tools(self) -> list[dict[str, Any]]:
        """Describe the tools of desk and customer."""
        described = [_described(tool) for tool in self._tools]
        log = {"type": "object", "properties": {"state_key": {"type": "string"}}, "additionalProperties": False}
        return [*described, {"name": "get_call_log", "description": "Return the log of calls.", "inputSchema": log}]

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry a call out; return the structured content of the answer."""
        key, reference = arguments.pop("state_key", "any-0"), arguments.pop("reference", "")
        made = self._of(key)
        if name == "get_call_log":
            return {"ok": True, "calls": self._calls[key]}
        by = "assistant" if made.tools.has_tool(name) else "user"
        arguments = self._as_declared(name, arguments)
        answer = made.get_response(ToolCall(id="call", name=name, arguments=arguments, requestor=by))
        record = {
            "reference": reference,
            "tau2_tool_call": {"name": name, "arguments": arguments},
            "tau2_tool_message": {"content": answer.content, "error": answer.error},
        }
        self._calls[key].append(record)
        self._keep(key, {"calls": self._calls[key], "hash": hash_of(made)})
        return {"ok": not answer.error, "parsed_content": answer.content, **record}

    def _as_declared(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take numbers as declared: 2 and 2.0 are one number in JSON (RFC 8785 writes 2), not in Python."""
        declared = [tool["parameters"].get("properties", {}) for tool in self._tools if tool["name"] == name]
        numbers = {key for schema in declared for key, part in schema.items() if part.get("type") == "number"}
        return {key: float(value) if key in numbers else value for key, value in arguments.items()}

    def _of(self, key: str) -> Any:
        if key not in self._made:
            self._made[key] = environment("telecom", self._tasks[key.rpartition("-")[2]])
            self._calls[key] = []
        return self._made[key]

    def _keep(self, key: str, state: dict[str, Any]) -> None:
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
        path.with_suffix(".tmp").write_text(json.dumps(state), encoding="utf-8")
        path.with_suffix(".tmp").replace(path)


def _described(function: dict[str, Any]) -> dict[str, Any]:
    schema = function["parameters"]
    schema = {**schema, "properties": {**schema.get("properties", {}), **_EXTRA}, "additionalProperties": False}
    return {"name": function["name"], "description": function["description"], "inputSchema": schema}


def answer(desk: Desk, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Answer one request."""
    match method:
        case "initialize":
            version = params["protocolVersion"]
            about = {"name": "tau2-telecom", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            return {"tools": desk.tools()}
        case "tools/call":
            content = desk.call(params["name"], dict(params.get("arguments") or {}))
            text = [{"type": "text", "text": json.dumps(content)}]
            return {"content": text, "structuredContent": content, "isError": not content["ok"]}
    return {}


def main(folder: str) -> None:
    """Serve until standard input ends."""
    logger.remove()
    desk = Desk(Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = answer(desk, request["method"], request.get("params") or {})
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
