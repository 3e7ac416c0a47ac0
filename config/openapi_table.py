"""The ``[[openapi]]`` tables of an agent.toml, loaded: their tools, what is to be closed, and every fault located."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from config.document import Document
from core.ports import Tool, ToolSource
from tools.openapi.tables import Source


class OpenApiTables:
    """Loads the tables of one agent. `environ`: where the secrets are that `auth` names."""

    def __init__(self, document: Document, folder: Path, environ: Mapping[str, str]) -> None:
        self._document = document
        self._folder = folder
        self._environ = environ
        self.faults: list[str] = []
        self.sources: list[ToolSource] = []

    def load(self, tables: Sequence[Source], taken: Sequence[str]) -> dict[str, Tool]:
        """Return the tools of all tables by name; `taken`: names of other sources. What is wrong is in `faults`."""
        tools: dict[str, Tool] = {}
        for number, table in enumerate(tables):
            found = self._load(number, table)
            for name in sorted(set(found) & {*taken, *tools}):
                problem = f"there is another tool called {name!r}; give this source a prefix"
                self._fault(number, ("prefix",), problem)
            tools |= found
        return tools

    def _load(self, number: int, table: Source) -> Mapping[str, Tool]:
        from tools.openapi.faults import SourceFaults  # noqa: PLC0415 - agents without such a table need no parser
        from tools.openapi.loading import load_source  # noqa: PLC0415

        try:
            source = load_source(table, self._folder, self._environ)
        except SourceFaults as error:
            for fault in error.faults:
                self._fault(number, fault.place, fault.problem)
            return {}
        self.sources.append(source)
        return {**source.tools, **source.undos}

    def _fault(self, number: int, place: tuple[str | int, ...], problem: str) -> None:
        """A fault of the document names its own file; one of the table names the line in agent.toml."""
        self.faults.append(self._document.fault(("openapi", number, *place), problem) if place else problem)
