"""What the trial's own people and its nemesis did, as JSON lines with times: evidence for the checker, and for us."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """A file of lines ``{"at": seconds since 1970, "who": ..., "what": ..., ...}``; each is on disk once written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, who: str, what: str, **fields: Any) -> None:
        """Add a line."""
        line = {"at": round(time.time(), 3), "who": who, "what": what, **fields}
        self._file.write(json.dumps(line, default=str) + "\n")

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def read_journal(path: Path, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines from a byte on, each with its size in bytes; a last line that is not whole is left out."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if line.endswith(b"\n"):
                yield len(line), json.loads(line)
