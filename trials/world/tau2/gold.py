"""What is right, by tau2's own classes: ``gold.py actions DOMAIN`` and ``gold.py hashes DOMAIN FOLDER``.

Runs under the Python of var/world/tau2, and knows nothing of Lastmile. ``actions`` plays the gold actions of each task
on tau2's own environment, and prints by task what each answered and the hash of the end state. ``hashes`` prints the
hash of each state that a server left in a folder, by file name.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from loguru import logger
from tau2.data_model.message import ToolCall


def actions(domain: str) -> dict[str, Any]:
    """Play all tasks."""
    environment = importlib.import_module(f"tau2.domains.{domain}.environment").get_environment()
    fresh = environment.tools.db.model_copy(deep=True)
    found = {}
    for task in _tasks(domain):
        environment.tools.db = fresh.model_copy(deep=True)
        steps = [_play(environment, action) for action in task["evaluation_criteria"]["actions"] or []]
        found[task["id"]] = {"steps": steps, "hash": environment.get_db_hash()}
    return found


def _tasks(domain: str) -> list[dict[str, Any]]:
    server = importlib.import_module(f"tau2_{domain}_mcp")
    file = Path(str(server.__file__)).parent / "data" / "tau2" / "domains" / domain / "tasks.json"
    tasks: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return tasks


def _play(environment: Any, action: dict[str, Any]) -> dict[str, Any]:
    call = ToolCall(id="gold", name=action["name"], arguments=action["arguments"])
    answer = environment.get_response(call)
    return {"tool": call.name, "args": call.arguments, "error": answer.error, "content": answer.content}


def hashes(domain: str, folder: Path) -> dict[str, str]:
    """Hash all states of a folder."""
    model = importlib.import_module(f"tau2.domains.{domain}.data_model")
    kind = getattr(model, {"retail": "RetailDB", "airline": "FlightDB"}[domain])
    return {
        file.stem: kind.model_validate(json.loads(file.read_text("utf-8"))["db"]).get_hash()
        for file in folder.glob("*.json")
    }


def main(what: str, domain: str, *folder: str) -> None:
    """Print the JSON that was asked for."""
    logger.remove()
    found = actions(domain) if what == "actions" else hashes(domain, Path(*folder))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
