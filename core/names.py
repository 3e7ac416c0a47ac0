"""All identities are made here: ids, keys, digests, and the canonical JSON under them.

Pure functions of their arguments; see 3-effects in the design for what must never enter a key
(run id, activity id, attempt, worker, time, randomness, the arguments).
"""

import hashlib
import json
from collections.abc import Sequence

import rfc8785

from core.record import Json

WORKFLOW = "AgentTask"
OPEN_TASK, PROPOSE_PLAN, CONCLUDE, NOTIFY = "open_task", "propose_plan", "conclude", "notify"
LIST_EFFECTS = "list_effects"
RESERVED_TOOL_NAMES = frozenset({OPEN_TASK, PROPOSE_PLAN, CONCLUDE, NOTIFY, LIST_EFFECTS})


def undo_of(tool: str) -> str:
    """Name the tool that takes back what a tool did."""
    return f"{tool}.undo"


STATUS_ATTRIBUTE = "LastmileStatus"
AGENT_ATTRIBUTE = "LastmileAgent"
WAITING_FOR_ATTRIBUTE = "LastmileWaitingFor"
WAITING_SINCE_ATTRIBUTE = "LastmileWaitingSince"


class NotCanonical(ValueError):
    """A value has no canonical JSON: NaN, an integer beyond 2^53 - 1, a lone surrogate, a key that is no string."""


def canonical(value: Json) -> bytes:
    """Write a value as canonical JSON (RFC 8785). Raises NotCanonical."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise NotCanonical(str(error)) from error


def digest(value: Json, length: int = 32) -> str:
    """Hash a value: the first `length` hex digits of SHA-256 over its canonical JSON. Raises NotCanonical."""
    return hashlib.sha256(canonical(value)).hexdigest()[:length]


def likeness(value: Json) -> str:
    """Hash any JSON, canonical or not, to recognise it again (16 hex digits). Never for keys and approvals."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def blob_digest(body: bytes) -> str:
    """Hash stored bytes; 32 hex digits of SHA-256."""
    return hashlib.sha256(body).hexdigest()[:32]


def effect_key(namespace: str, task_id: str, intent: int, revision: int, tool: str) -> str:
    """Make the idempotency key of one intended effect; 32 hex digits."""
    return digest([namespace, task_id, intent, revision, tool])


def fingerprint(args: Json, contract_digest: str) -> str:
    """Hash what exactly is sent; another fingerprint under one key is a conflict."""
    return digest([args, contract_digest])


def similarity(task_id: str, tool: str, args: dict[str, Json], identity: Sequence[str] | None) -> str:
    """Hash what makes two calls of a task the same intent; `identity` None means all arguments."""
    chosen = args if identity is None else {name: args[name] for name in identity if name in args}
    return digest([task_id, tool, chosen])


def approval_digest(key: str, tool: str, args: Json, contract_digest: str) -> str:
    """Hash what an approver is shown and what their answer is bound to; 16 hex digits, short enough to read."""
    return digest([key, tool, args, contract_digest], 16)


def as_person(name: str) -> str:
    """Compare names as people mean them: "Ana " is no second person beside "ana"."""
    return name.strip().casefold()


def step_id(round_number: int, planned_id: str) -> str:
    """Name a step across rounds: ``r2.s1``."""
    return f"r{round_number}.{planned_id}"


ASK_AGAIN = "the task is about to go on; ask again"
"""What a query is answered that came just before the task's next move; a caller may ask again at once."""
