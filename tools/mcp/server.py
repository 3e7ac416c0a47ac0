"""One MCP server as configured: what to start or to call, with the secrets put in when a session begins."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotSent
from tools.mcp.stdio import Program
from tools.mcp.tables import ServerTable

_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Server:
    """`folder`: that of the agent, where relative commands start and where the program runs."""

    table: ServerTable
    folder: Path

    @property
    def identity(self) -> str:
        """The same for two servers that are one and the same process or address."""
        table = self.table
        where = str(self.folder) if self._is_of_folder else ""
        return repr((where, table.command, table.url, sorted(table.env.items()), sorted(table.headers.items())))

    @property
    def patience(self) -> float:
        """Seconds to wait for its list of tools: a little longer than it may take to start."""
        return self.table.start_timeout.total_seconds() + 1

    def program(self, environ: Mapping[str, str]) -> Program:
        """Say what to start. It inherits only what programs need everywhere: no secret of the worker.

        Raises NotSent for a program or a variable that is not there.
        """
        inherited = {name: environ[name] for name in _INHERITED if name in environ}
        env = inherited | {name: self._put_in(value, environ, f"env.{name}") for name, value in self.table.env.items()}
        first, *rest = self.table.command
        return Program([self._find(first, env.get("PATH", "")), *rest], env, self.folder)

    def headers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Write the headers of its requests. Raises NotSent for a variable that is not there."""
        return {name: self._put_in(value, environ, f"headers.{name}") for name, value in self.table.headers.items()}

    def missing(self, environ: Mapping[str, str]) -> list[str]:
        """Name the environment variables that its table asks for, and that are not set."""
        texts = [*self.table.env.values(), *self.table.headers.values()]
        wanted = dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text))
        return [name for name in wanted if not environ.get(name)]

    @property
    def _is_of_folder(self) -> bool:
        """Whether its command names something in the agent's folder."""
        first, *rest = self.table.command or ("",)
        return os.sep in first or any((self.folder / word).exists() for word in rest)

    def _find(self, program: str, path: str) -> str:
        """Look beside the running Python first: servers are often installed together with the worker."""
        if os.sep in program:
            return str(self.folder / program)
        if found := shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{path}"):
            return found
        raise NotSent(f"MCP server {self.table.name}: there is no program {program!r}; install it, or mend `command`")

    def _put_in(self, text: str, environ: Mapping[str, str], where: str) -> str:
        def value(found: re.Match[str]) -> str:
            if not (known := environ.get(found.group(1), "")):
                raise NotSent(
                    f"MCP server {self.table.name}: {where} needs the environment variable {found.group(1)}, "
                    "and it is not set"
                )
            return known

        return _VARIABLE.sub(value, text)
