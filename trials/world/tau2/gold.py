"""What is right, by tau2's own classes.

::

    gold.py ids DOMAIN               the ids of all tasks
    gold.py actions DOMAIN [ID...]   of some tasks the gold actions, and the hash of the end state
    gold.py hashes DOMAIN FOLDER     the hash of each state that a server left in a folder, by file name

Prints JSON. Runs under the Python of var/world/tau2, and knows nothing of Lastmile.
"""

import importlib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from loguru import logger
from tau2.data_model.message import ToolCall
from tau2.data_model.tasks import Task

_MODELS = {"retail": "RetailDB", "airline": "FlightDB"}


def tasks(domain: str) -> dict[str, dict[str, Any]]:
    """Read the tasks of a domain; telecom's have long names, so their places stand for them."""
    if domain == "telecom":
        folder = _data_of("tau2", domain)
        split = json.loads((folder / "split_tasks.json").read_text("utf-8"))["base"]
        chosen = [task for task in json.loads((folder / "tasks.json").read_text("utf-8")) if task["id"] in split]
        return {str(place): task for place, task in enumerate(chosen)}
    found = json.loads((_data_of(f"tau2_{domain}_mcp", domain) / "tasks.json").read_text("utf-8"))
    return {task["id"]: task for task in found}


def _data_of(package: str, domain: str) -> Path:
    return Path(str(importlib.import_module(package).__file__)).parent / "data" / "tau2" / "domains" / domain


def environment(domain: str, task: dict[str, Any]) -> Any:
    """Make tau2's own environment as a task finds it."""
    made = importlib.import_module(f"tau2.domains.{domain}.environment").get_environment()
    if task["initial_state"] is not None:
        state = Task.model_validate(task).initial_state
        made.set_state(state.initialization_data, state.initialization_actions, state.message_history or [])
    return made


def hash_of(made: Any) -> str:
    """Hash the state of an environment: of the desk, and of the customer's own device where there is one."""
    return f"{made.get_db_hash()} {made.get_user_db_hash() or ''}".strip()


def actions(domain: str, ids: Collection[str]) -> dict[str, Any]:
    """Play some tasks."""
    known = tasks(domain)
    return {one: _play(domain, known[one]) for one in ids}


def _play(domain: str, task: dict[str, Any]) -> dict[str, Any]:
    made, gold = environment(domain, task), task["evaluation_criteria"]["actions"] or []
    for action in gold:  # one that is refused changes nothing: its answer does not matter here
        by = action.get("requestor", "assistant")
        made.get_response(ToolCall(id="gold", name=action["name"], arguments=action["arguments"], requestor=by))
    return {"actions": gold, "hash": hash_of(made)}


def hashes(domain: str, folder: Path) -> dict[str, str]:
    """Hash all states of a folder; telecom's server hashes its own, which are not written down."""
    states = {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    if domain == "telecom":
        return {name: state["hash"] for name, state in states.items()}
    kind = getattr(importlib.import_module(f"tau2.domains.{domain}.data_model"), _MODELS[domain])
    return {name: kind.model_validate(state["db"]).get_hash() for name, state in states.items()}


def main(what: str, domain: str, *more: str) -> None:
    """Print what was asked for."""
    logger.remove()
    match what:
        case "ids":
            found: Any = list(tasks(domain))
        case "actions":
            found = actions(domain, more)
        case _:
            found = hashes(domain, Path(*more))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
