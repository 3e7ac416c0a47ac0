"""Exit codes, and the one place where errors become a sentence for people.

====  =====================================================================================
0     done
1     no: the task ended otherwise than completed, an answer was refused, a replay differs, a check of the set-up failed
2     wrong usage: arguments, files, an unknown task or agent
3     what is needed cannot be reached or does not work: the Temporal server, a worker, the ledger, a taken port
130   interrupted with Ctrl-C (the convention of shells)
====  =====================================================================================
"""

import re
from enum import IntEnum

from pydantic import ValidationError
from temporalio.service import RPCError, RPCStatusCode

from core.errors import CallerError, ConfigError, LastmileError


class Exit(IntEnum):
    """What a verb's process ends with."""

    DONE = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class Declined(LastmileError):
    """What was asked was understood, and the answer is no; nothing has changed."""


class Unreachable(LastmileError):
    """Something that the verb needs does not answer; the text says what, and how to get it."""


_SILENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN)
"""The SDK calls a connection that breaks in mid-call UNKNOWN ("transport error")."""
_BARRED = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED)
_NO_NAMESPACE = re.compile(r"Namespace (\S+) (?:is|was) not found")
"""How the server says it, and how the SDK does when a worker starts."""


def explain(error: BaseException) -> tuple[str, Exit]:
    """Turn an error into one sentence and an exit code."""
    match error:
        case Declined():
            return str(error), Exit.NO
        case CallerError() | ConfigError():
            return str(error), Exit.USAGE
        case LastmileError():
            return str(error), Exit.UNREACHABLE
        case RPCError() | RuntimeError() if name := missing_namespace(error):
            return _of_namespace(name), Exit.UNREACHABLE
        case RPCError():
            return _of_server(error), Exit.USAGE if _is_usage(error) else Exit.UNREACHABLE
        case ValidationError():
            return f"{error.title}: {faults_of(error)}", Exit.USAGE
        case UnicodeError():
            return f"some of the text is no valid Unicode: {error}", Exit.USAGE
        case OSError():
            return f"{error.filename or 'the system'}: {error.strerror or error}", Exit.UNREACHABLE
    return (
        f"this should not have happened: {type(error).__name__}: {error} (LASTMILE_DEBUG=1 shows where)",
        Exit.UNREACHABLE,
    )


def missing_namespace(error: BaseException) -> str:
    """Return the name of the namespace that an error says the server does not have; "" for any other error."""
    found = _NO_NAMESPACE.search(str(error))
    return found[1] if found else ""


def _of_namespace(name: str) -> str:
    return (
        f"the Temporal server has no namespace {name!r}; set TEMPORAL_NAMESPACE or [temporal] namespace in "
        f"lastmile.toml to one that it has, or create this one with: temporal operator namespace create -n {name}"
    )


def faults_of(error: ValidationError) -> str:
    """Name what is wrong, and where, in one line; at most five faults."""
    found = [
        f"{'.'.join(map(str, one['loc'])) or 'input'}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors()[:5]
    ]
    more = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {more} more" if more else "")


def _is_usage(error: RPCError) -> bool:
    return error.status is RPCStatusCode.INVALID_ARGUMENT


def is_silent(error: RPCError) -> bool:
    """Whether this is no word of the server's: it cannot be reached, or the connection broke."""
    return error.status in _SILENT


def _of_server(error: RPCError) -> str:
    if is_silent(error):
        return f"the Temporal server does not answer ({error.message}); `python starter.py doctor` checks the set-up"
    if error.status in _BARRED:
        return f"the Temporal server does not let us in ({error.message}): check the key and the namespace"
    return f"the Temporal server refuses: {error.message}"
