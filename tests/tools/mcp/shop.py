"""A shop behind MCP, written without any SDK: it answers messages, counts what it did, and misbehaves when told to.

In its folder: ``tools.json`` replaces what it says about its tools, ``fates.json`` says how the next calls of `pay` go
(then all is well again), ``paid.log`` has a line for each payment, ``starts.log`` one for each start.
"""

import json
import os
from pathlib import Path
from typing import Any

TEXT = {"type": "string"}
PAYMENT = {
    "type": "object",
    "properties": {"id": TEXT, "order": TEXT, "amount": {"type": "integer"}},
    "required": ["id", "order", "amount"],
}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "pay",
        "description": "Pay an order.",
        "inputSchema": {
            "type": "object",
            "properties": {"order": TEXT, "amount": {"type": "integer"}, "reference": TEXT, "desk": TEXT},
            "required": ["order", "amount"],
        },
        "outputSchema": PAYMENT,
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "find-payment",
        "description": "Find what was paid.",
        "inputSchema": {"type": "object", "properties": {"order": TEXT, "reference": TEXT}},
        "outputSchema": {"type": "object", "properties": {"payments": {"type": "array", "items": PAYMENT}}},
    },
    {"name": "say", "description": "Say something.", "inputSchema": {"type": "object"}},
]


class Shop:
    """The shop in one folder. It pays once per reference; without one it pays every time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "starts.log").open("a") as log:
            log.write(f"{os.getpid()}\n")

    def answer(self, message: dict[str, Any]) -> Any:
        """Return the answer to a message, None for a notification, or a fate that the transport carries out."""
        if "id" not in message or "method" not in message:
            return None
        match message["method"]:
            case "initialize":
                version = message["params"]["protocolVersion"]
                info = {"name": "shop", "version": "1"}
                return self._result(
                    message, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
                )
            case "tools/list":
                return self._result(message, {"tools": self._read("tools.json", TOOLS)})
            case "tools/call":
                return self._call(message)
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}

    def _call(self, message: dict[str, Any]) -> Any:
        name, args = message["params"]["name"], message["params"].get("arguments", {})
        fate = self._fate()
        if name != "say" and fate not in ("die_before", "refuse"):
            found = self.pay(args) if name == "pay" else {"payments": self.find(args)}
        else:
            found = {}
        match fate:
            case "ok" if name == "say":
                return self._result(message, {"content": [{"type": "text", "text": args.get("text", "hello")}]})
            case "ok":
                text = json.dumps(found)
                return self._result(message, {"content": [{"type": "text", "text": text}], "structuredContent": found})
            case "refuse":
                content = [{"type": "text", "text": "the card was declined"}]
                return self._result(message, {"content": content, "isError": True})
            case {"result": result}:
                return self._result(message, result)
            case {"error": error}:
                return {"jsonrpc": "2.0", "id": message["id"], "error": error}
            case {"instead": line}:
                return {"instead": line.replace("$ID", json.dumps(message["id"]))}
            case {"also": line}:
                whole = self._result(message, {"content": [], "structuredContent": found})
                return {"also": line, "answer": whole}
            case {"changed": _}:
                notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
                whole = self._result(message, {"content": [], "structuredContent": found})
                return {"also": notice, "answer": whole}
        return {"fate": fate}

    def pay(self, args: dict[str, Any]) -> dict[str, Any]:
        paid = self.paid()
        reference = args.get("reference", "")
        for one in paid:
            if reference and one["reference"] == reference:
                return {name: one[name] for name in ("id", "order", "amount")}
        line = {"id": f"p{len(paid) + 1}", "order": args["order"], "amount": args["amount"]}
        with (self.folder / "paid.log").open("a") as log:
            log.write(json.dumps({**line, "reference": reference, "desk": args.get("desk", "")}) + "\n")
        return line

    def find(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = {name: args[name] for name in ("order", "reference") if name in args}
        return [one for one in self.paid() if all(one[name] == value for name, value in wanted.items())]

    def paid(self) -> list[dict[str, Any]]:
        path = self.folder / "paid.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _fate(self) -> Any:
        fates = self._read("fates.json", [])
        if not fates:
            return "ok"
        (self.folder / "fates.json").write_text(json.dumps(fates[1:]))
        return fates[0]

    def _read(self, name: str, otherwise: Any) -> Any:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else otherwise

    def _result(self, message: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}
