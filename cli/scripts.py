"""The scripts of a scripted model, as `doctor` looks at them before a task does."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import PlannerDown
from core.record import Json

if TYPE_CHECKING:
    from llm.scripted import Script

_SCRIPTED = "scripted:"


def read_scripts(model: str) -> Mapping[Path, "Script"]:
    """Read every script of a model; there are none of a real one. Raises PlannerDown for one that cannot be played."""
    from llm.scripted import load  # noqa: PLC0415 - other verbs need no models

    if not model.startswith(_SCRIPTED):
        return {}
    path = Path(model.removeprefix(_SCRIPTED))
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise PlannerDown(f"the folder of scripts {path} holds no script, such as default.json")
    return {file: load(file) for file in files}


def unknown_tools(script: "Script", known: Collection[str]) -> list[str]:
    """Name the tools that the plans of a script call and that are not known."""
    plans = [entry.plan for entry in script.replies if entry.plan is not None]
    named = [_tool(step) for plan in plans for step in _listed(plan.get("steps"))]
    return [name for name in dict.fromkeys(named) if name and name not in known]


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _tool(step: Json) -> str:
    return str(step.get("tool", "")) if isinstance(step, dict) else ""
