"""Loads an agent's tool files by path and collects the tools in them. What goes wrong there is a ConfigError."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from core.contract import Contract
from core.errors import ConfigError
from tools.declaration import Declaration
from tools.python_tool import PythonTool
from tools.undo_tool import UndoTool

PACKAGE = "lastmile_agents"


def load_tools(
    agent: str, folder: Path, sources: Sequence[str], home: Path | None = None
) -> dict[str, PythonTool | UndoTool]:
    """Load the tools of an agent: `sources` are files beside its agent.toml (``tools.py``) or dotted module names.

    `home`: the folder of lastmile.toml; modules there can be named like installed ones, behind which they come.
    A file becomes the module ``lastmile_agents.AGENT.STEM``, read afresh at each load. Raises ConfigError with file,
    line and cause.
    """
    _open_package(agent, folder)
    if home is not None and not all(_is_file(source) for source in sources):
        _open_home(home.absolute())
    found: list[Declaration] = []
    for source in sources:
        module = _load(agent, folder, source)
        declared = [value for value in vars(module).values() if isinstance(value, Declaration)]
        if not declared:
            raise ConfigError(f"{source} of agent `{agent}` ({folder}) declares no tool; put @tool above its functions")
        found.extend(declared)
    return build_tools(found)


def build_tools(declarations: Iterable[Declaration]) -> dict[str, PythonTool | UndoTool]:
    """Finish declared tools, by name; one that can be undone brings ``NAME.undo`` with it.

    Raises ConfigError for a missing hook, a name used twice or a wrong fallback.
    """
    tools: dict[str, PythonTool] = {}
    for declaration in declarations:
        standing = tools.setdefault(declaration.name, PythonTool(declaration))
        if standing.declaration is not declaration:
            declaration.fail(f"there is another tool of this name: {standing}; rename one")
    contracts = {name: tool.contract for name, tool in tools.items()}
    for tool in tools.values():
        if problem := fallback_fault(tool.contract, contracts):
            tool.declaration.fail(problem)
    return {each.contract.name: each for tool in tools.values() for each in _with_undo(tool)}


def _with_undo(tool: PythonTool) -> list[PythonTool | UndoTool]:
    undoing = tool.declaration.undoing
    return [tool] if undoing is None else [tool, UndoTool(tool.declaration, undoing, tool.contract)]


def fallback_fault(contract: Contract, contracts: Mapping[str, Contract]) -> str:
    """Say why the fallback of a tool cannot take over; "" when it can: it is called with the very same arguments."""
    if (name := contract.fallback) is None:
        return ""
    if name not in contracts or name == contract.name:
        return f"fallback={name!r} is no other tool of this agent; they are: {', '.join(contracts)}"
    other, ours = contracts[name].args_schema, contract.args_schema
    lacking = set(other.get("required", [])) - set(ours["properties"])
    unknown = set(ours["properties"]) - set(other["properties"])
    if lacking or unknown:
        return f"fallback={name!r} takes other arguments ({', '.join(sorted(lacking | unknown))}); give both the same"
    return ""


def _open_package(agent: str, folder: Path) -> None:
    """Make the package that the files of an agent share, so that ``from .words import x`` works between them."""
    package = f"{PACKAGE}.{agent}"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    for name, path in ((PACKAGE, []), (package, [str(folder)])):
        module = sys.modules.setdefault(name, ModuleType(name))
        module.__path__ = path


def _open_home(home: Path) -> None:
    """Let modules beside lastmile.toml be imported, for good: tools import while they run, too.

    At the end of the path, so that no file there takes the place of a module of the product or of a library.
    """
    if str(home) not in sys.path:
        sys.path.append(str(home))


def _is_file(source: str) -> bool:
    return source.endswith(".py")


def _load(agent: str, folder: Path, source: str) -> ModuleType:
    if not _is_file(source):
        return _import(agent, folder, source)
    path = folder / source
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; `tools` of agent `{agent}` names it")
    name = f"{PACKAGE}.{agent}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's file may do anything while it is imported
        _explain(error, path)
    return module


def _import(agent: str, folder: Path, source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if source == error.name or source.startswith(f"{error.name}."):
            raise ConfigError(
                f"{folder / 'agent.toml'}: `tools` of agent `{agent}` names {source!r}, and there is no such module; "
                "write the name of a file (tools.py), or a module that is installed or lies beside lastmile.toml"
            ) from error
        _explain(error, Path(source))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        _explain(error, Path(source))


def _explain(error: BaseException, path: Path) -> NoReturn:
    match error:
        case ConfigError():
            raise error
        case SyntaxError():
            place = f"{error.filename or path}:{error.lineno or 1}:{error.offset or 1}"
            raise ConfigError(f"{place}: this is not Python: {error.msg}") from error
        case _:
            place = f"{path}:{_line(error, path)}"
            raise ConfigError(f"{place}: importing it raised {type(error).__name__}: {error}"[:600]) from error


def _line(error: BaseException, path: Path) -> int:
    """Return the last line of the file that was running, or 1."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if Path(frame.filename) == path), 1)
