"""What an error of the SDK says about the effect of a call: a definite no, certainly not sent, or in doubt.

An MCP error names no HTTP status, so what the transport knows (http.py) travels in the error's data, marked with a
secret of this process that no server knows.
"""

import re
import secrets
from collections.abc import Mapping

from core.contract import Effect
from core.errors import NotSent, Refused
from core.ports import Certainty, Sorted
from core.record import Json
from tools.sorting import sort

METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602  # JSON-RPC 2.0: looked at, and not carried out
_MOST_TEXT = 500
_MAY_FOLLOW_SUCCESS = re.compile(r"conflict|exist|already|duplicate|found|gone|stale|version", re.IGNORECASE)


class ConnectionEnded(Exception):
    """A call was on its way when something broke: nobody knows whether it was carried out.

    `found`: what the transport says of it; by default, that the connection was lost.
    """

    def __init__(self, message: str, found: Sorted | None = None) -> None:
        super().__init__(message)
        lost = Sorted(certainty=Certainty.UNKNOWN, code="connection_lost", message=message[:_MOST_TEXT])
        self.found = found or lost


class UnreadableAnswer(Exception):
    """Something came back, and it is no answer that says what happened."""


class ToolChanged(Exception):
    """The server says something else about a tool than was accepted, so it is not called."""


class SessionGone(NotSent):
    """The server does not know this session any more; it did not look at the call."""


class Mark:
    """Puts what a transport knows about an error into its data, and takes it out again."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex(16)

    def data(self, found: Sorted, *, is_session_gone: bool = False) -> dict[str, Json]:
        """Write what is known."""
        return {self._secret: found.model_dump(mode="json"), "gone": is_session_gone}

    def error(self, data: Json) -> Exception | None:
        """Read it: the error to raise; None when the data is not ours."""
        if not isinstance(data, Mapping) or self._secret not in data:
            return None
        found = Sorted.model_validate(data[self._secret])
        if data.get("gone"):
            return SessionGone(found.message)
        match found.certainty:
            case Certainty.REFUSED:
                return Refused(found.code, found.message)
            case Certainty.NOT_SENT:
                return NotSent(found.message, found.retry_after)
            case Certainty.UNKNOWN:
                return ConnectionEnded(found.message, found)


def by_code(code: int, message: str) -> Exception:
    """Sort a JSON-RPC error that a server sent: only two codes say that nothing was carried out."""
    text = message[:_MOST_TEXT]
    if code == METHOD_NOT_FOUND:
        return Refused("method_not_found", text)
    if code == INVALID_PARAMS:
        return Refused("invalid_params", text)
    return UnreadableAnswer(f"the server answered with error {code}: {text}")


def sort_error(error: BaseException, how_to_accept: str) -> Sorted:
    """Sort what a call through a session raised.

    The code of a changed tool says `forbidden`: like a refused permission it tells nothing of what was sent earlier.
    """
    match error:
        case ToolChanged():
            text = f"{error}; {how_to_accept}"
            return Sorted(certainty=Certainty.REFUSED, code="forbidden_tool_changed", message=text)
        case UnreadableAnswer():
            return Sorted(certainty=Certainty.UNKNOWN, code="unreadable_answer", message=f"{error}"[:_MOST_TEXT])
        case ConnectionEnded():
            return error.found
        case _:
            return sort(error)


def refusal(effect: Effect, reason: str) -> Refused:
    """Make the definite no of an ``isError`` answer.

    MCP has words for it and no code, so nobody can tell "never" from "not again, it is done". The code of a call that
    the server does not know again therefore says `conflict`: the door believes that at once when this was the only
    send, and looks more closely when an earlier one may have been carried out. A server that knows the call by its
    key answers for this very call, unless its words say otherwise.
    """
    is_clear = effect is Effect.KEYED and not _MAY_FOLLOW_SUCCESS.search(reason)
    return Refused("tool_error" if is_clear else "tool_error_or_conflict", reason)
