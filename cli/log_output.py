"""Where a worker's log goes: standard error, whether somebody still reads it or not."""

from contextlib import suppress
from typing import TextIO


class LogOutput:
    """A stream for logs that outlives its reader.

    Ctrl-C ends every program of a pipe, so with `dev 2>&1 | tee dev.log` nobody reads any more while calls under way
    are still heard out. A line that cannot be written must cost neither the drain nor the receipt of a call.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written; return the length of the text, as files do."""
        with suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        with suppress(BrokenPipeError):
            self._stream.flush()
