"""A table and its document into tools. Every fault of both is collected, so that one load shows them all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from core.contract import Contract
from tools.openapi.addresses import Reachable
from tools.openapi.client import Client
from tools.openapi.contracts import Drafting
from tools.openapi.document import Document, Operation
from tools.openapi.faults import BadDocument, Fault, Place, SourceFaults, Wrong, listed
from tools.openapi.linking import link
from tools.openapi.secrets import Secrets
from tools.openapi.tables import Source
from tools.openapi.tool import Endpoint, OpenApiTool
from tools.undo_by_tool import UndoByTool

MOST_TOOLS = 100
"""Of one source: more than that no model can choose among, and each is in every prompt."""

UNFORESEEN = "is written in a way that nobody foresaw; leave the operation out, and report it"


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """A source that can be used: its tools by name, undos of them, and the client that they share."""

    name: str
    tools: Mapping[str, OpenApiTool]
    undos: Mapping[str, UndoByTool]
    client: Client
    secrets: Secrets

    async def aclose(self) -> None:
        """Close the client."""
        await self.client.aclose()

    def missing(self) -> list[str]:
        """Name the environment variables that are not set."""
        return self.secrets.missing()


def load_source(source: Source, folder: Path, environ: Mapping[str, str]) -> LoadedSource:
    """Load one ``[[openapi]]``; `folder`: where `spec` starts. Raises SourceFaults naming all faults."""
    return _Loader(source, folder, environ).load()


class _Loader:
    """Loads one source; `_faults` gathers what is wrong."""

    def __init__(self, source: Source, folder: Path, environ: Mapping[str, str]) -> None:
        self._source = source
        self._path = folder / source.spec
        self._secrets = Secrets(source.auth, environ)
        self._faults: list[Fault] = []

    def load(self) -> LoadedSource:
        document, operations = self._document()
        self._check_address()
        client = Client(self._source, self._secrets)
        drafting = Drafting(self._source, self._secrets, client)
        parts = {one.id: part for one in operations if (part := self._part(document, one, drafting)) is not None}
        linked = link(self._source, parts)
        self._faults += linked.faults
        if self._faults:
            raise SourceFaults(self._faults)
        return LoadedSource(self._source.name, linked.tools, linked.undos, client, self._secrets)

    # ------------------------------------------------------------------------------------------------ the document

    def _document(self) -> tuple[Document, list[Operation]]:
        try:
            document = Document.read(self._path)
            known = list(document.operations())
        except BadDocument as error:
            raise SourceFaults([Fault(("spec",), str(error))]) from error
        self._check_names([one.id for one in known])
        wanted = [one for one in known if self._is_wanted(one.id)]
        if not wanted and not self._faults:
            self._fault(("spec",), f"{self._path}: there is no operation in it that is wanted")
        if len(wanted) > MOST_TOOLS:
            problem = f"{len(wanted)} operations would become tools, and at most {MOST_TOOLS} may; name those that are"
            raise SourceFaults([Fault(("only",), f"{problem} needed in `only`")])
        return document, wanted

    def _check_names(self, known: Sequence[str]) -> None:
        for key, names in (("only", self._source.only), ("except", self._source.leave_out)):
            for number, name in enumerate(names):
                if not any(fnmatchcase(one, name) for one in known):
                    self._unknown((key, number), name, known)
        for name in self._source.contracts:
            if name not in known:
                self._unknown(("contracts", name), name, known)
            elif not self._is_wanted(name):
                self._fault(("contracts", name), f"{name} is no tool: `only` or `except` leaves it out")

    def _unknown(self, place: Place, name: str, known: Sequence[str]) -> None:
        self._fault(place, f"there is no operation {name!r} in {self._path.name}; {listed(known)}")

    def _is_wanted(self, name: str) -> bool:
        chosen = not self._source.only or any(fnmatchcase(name, one) for one in self._source.only)
        return chosen and not any(fnmatchcase(name, one) for one in self._source.leave_out)

    def _check_address(self) -> None:
        host = re.sub(r"^https?://(\[([^\]]*)\]|([^/:]*)).*$", r"\2\3", self._source.base_url)
        is_figures = bool(re.fullmatch(r"[0-9.]+|.*:.*", host))
        if is_figures and not Reachable(self._source.private_addresses).allows(host):
            problem = f"{host} is not a public address; list it: private_addresses = [{host!r}], if it is meant"
            self._fault(("base_url",), problem.replace("'", '"'))

    # ---------------------------------------------------------------------------------------------- the operations

    def _part(self, document: Document, operation: Operation, drafting: Drafting) -> tuple[Contract, Endpoint] | None:
        try:
            return drafting.draft(document, operation)
        except BadDocument as error:
            self._fault((), str(error))
        except Wrong as error:
            self._faults.append(error.fault)
        except Exception as error:  # noqa: BLE001 - a document may hold anything, and nobody is to see a traceback
            self._fault((), document.fault(operation.tokens, f"{UNFORESEEN} ({type(error).__name__})"))
        return None

    def _fault(self, place: Place, problem: str) -> None:
        self._faults.append(Fault(place, problem))
