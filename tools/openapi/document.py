"""One document, read: its operations, and what references lead to. Only references within the file are followed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from core.record import Json
from core.references import escape, unescape
from tools.openapi.faults import BadDocument
from tools.openapi.reading import read_value

METHODS = ("get", "head", "put", "post", "patch", "delete")  # options and trace are about the server itself
_MOST_STEPS = 20  # of a reference that leads to a reference

Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as written. `id`: the document's, else made out of method and path."""

    id: str
    method: str
    path: str
    tokens: Tokens
    raw: Mapping[str, Json]
    shared: Mapping[str, Json]


class Document:
    """A document of OpenAPI 3.0 or 3.1. Raises BadDocument when it is something else."""

    def __init__(self, path: Path, root: Json) -> None:
        self.path = path
        if not isinstance(root, dict) or not isinstance(root.get("openapi"), str):
            found = (
                "a Swagger 2.0 document; convert it to OpenAPI 3"
                if isinstance(root, dict) and "swagger" in root
                else ""
            )
            raise BadDocument(f"{path}: is {found or 'no OpenAPI document: there is no text `openapi` in it'}")
        self.root: dict[str, Json] = root
        self.version = root["openapi"][:3]
        if self.version not in ("3.0", "3.1"):
            raise BadDocument(f"{path}: #/openapi: expected 3.0 or 3.1, found {root['openapi'][:20]!r}")
        if not isinstance(root.get("paths", {}), dict):
            raise BadDocument(f"{path}: #/paths: expected an object")

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Read a file. Raises BadDocument."""
        return cls(path, read_value(path))

    def fault(self, tokens: Sequence[str], problem: str) -> str:
        """Write one fault: file, place as a JSON pointer, problem."""
        place = "/".join(["#", *map(escape, tokens)])
        return f"{self.path}: {place[:300]}: {problem}"

    def fail(self, tokens: Sequence[str], problem: str) -> BadDocument:
        """Make the error of one fault."""
        return BadDocument(self.fault(tokens, problem))

    def operations(self) -> Iterator[Operation]:
        """Yield every operation, in the order of the file. Raises BadDocument.

        Where an operationId stands twice, which it must not, these operations are called by method and path.
        """
        found = list(self._operations())
        counts = Counter(one.id for one in found)
        yield from (one if counts[one.id] == 1 else replace(one, id=f"{one.method.lower()}{one.path}") for one in found)

    def _operations(self) -> Iterator[Operation]:
        for path, item in self.root.get("paths", {}).items():
            tokens = ("paths", path)
            if not isinstance(item, dict):
                raise self.fail(tokens, "expected an object")
            yield from self._of_path(path, tokens, item)

    def _of_path(self, path: str, tokens: Tokens, item: Mapping[str, Json]) -> Iterator[Operation]:
        shared, tokens = self.resolve(item, tokens)
        for method in METHODS:
            if method not in shared:
                continue
            raw, at = shared[method], (*tokens, method)
            if not isinstance(raw, dict):
                raise self.fail(at, "expected an object")
            yield Operation(_id(raw, method, path), method.upper(), path, at, raw, shared)

    def resolve(self, value: Json, tokens: Tokens) -> tuple[dict[str, Json], Tokens]:
        """Follow references until an object stands there; return it and its place. Raises BadDocument."""
        for _ in range(_MOST_STEPS):
            if not isinstance(value, dict):
                raise self.fail(tokens, "expected an object")
            if "$ref" not in value:
                return value, tokens
            value, tokens = self.follow(value["$ref"], tokens)
        raise self.fail(tokens, "references lead from one to the next without an end")

    def follow(self, reference: Json, tokens: Tokens) -> tuple[Json, Tokens]:
        """Return what a reference leads to, and its place. Raises BadDocument."""
        target = self.target(reference, tokens)
        here: Json = self.root
        for token in target:
            match here:
                case dict() if token in here:
                    here = here[token]
                case list() if token.isdecimal() and len(token) < 7 and int(token) < len(here):
                    here = here[int(token)]
                case _:
                    raise self.fail(tokens, f"$ref leads to {str(reference)[:200]!r}, and there is nothing")
        return here, target

    def target(self, reference: Json, tokens: Tokens) -> Tokens:
        """Read a reference. Raises BadDocument for one that leads out of this file."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            found = repr(reference)[:200]
            raise self.fail(tokens, f"$ref is {found}: only references within this file (#/...) are followed")
        parts = unquote(reference[2:]).split("/")
        return tuple(unescape(part) for part in parts)


def _id(raw: Mapping[str, Json], method: str, path: str) -> str:
    named = raw.get("operationId")
    return named if isinstance(named, str) and named.strip() else f"{method}{path}"
