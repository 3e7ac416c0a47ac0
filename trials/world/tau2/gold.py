"""What is right, by tau2's own classes: ``gold.py actions DOMAIN [ID...]`` and ``gold.py hashes DOMAIN FOLDER``.

Runs under the Python of var/world/tau2, and knows nothing of Lastmile. ``actions`` plays the gold actions of some tasks
on tau2's own environment, and prints by task the actions and the hash of the end state. ``hashes`` prints the hash of
each state that a server left in a folder, by file name without its ending. ``ids`` prints the ids of all tasks.
"""

import importlib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from loguru import logger
from tau2.data_model.message import ToolCall


def actions(domain: str, ids: Collection[str]) -> dict[str, Any]:
    """Play some tasks."""
    environment = importlib.import_module(f"tau2.domains.{domain}.environment").get_environment()
    fresh, found = environment.tools.db, {}
    for task in (one for one in _tasks(domain) if one["id"] in ids):
        environment.tools.db = fresh.model_copy(deep=True)
        gold = task["evaluation_criteria"]["actions"] or []
        for action in gold:  # one that is refused changes nothing: its answer does not matter here
            environment.get_response(ToolCall(id="gold", name=action["name"], arguments=action["arguments"]))
        found[task["id"]] = {"actions": gold, "hash": environment.get_db_hash()}
    return found


def _tasks(domain: str) -> list[dict[str, Any]]:
    server = importlib.import_module(f"tau2_{domain}_mcp")
    file = Path(str(server.__file__)).parent / "data" / "tau2" / "domains" / domain / "tasks.json"
    tasks: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return tasks


def hashes(domain: str, folder: Path) -> dict[str, str]:
    """Hash all states of a folder."""
    model = importlib.import_module(f"tau2.domains.{domain}.data_model")
    kind = getattr(model, {"retail": "RetailDB", "airline": "FlightDB"}[domain])
    return {
        file.stem: kind.model_validate(json.loads(file.read_text("utf-8"))["db"]).get_hash()
        for file in folder.glob("*.json")
    }


def main(what: str, domain: str, *more: str) -> None:
    """Print the JSON that was asked for."""
    logger.remove()
    match what:
        case "ids":
            found: Any = [task["id"] for task in _tasks(domain)]
        case "actions":
            found = actions(domain, more)
        case _:
            found = hashes(domain, Path(*more))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
