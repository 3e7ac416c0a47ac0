"""The search attributes of a task: where it stands, and who is waited for."""

import json
from itertools import accumulate
from typing import Any

from temporalio.common import SearchAttributeKey

from core import names
from core.task import TaskState

_STATUS = SearchAttributeKey.for_keyword(names.STATUS_ATTRIBUTE)
_AGENT = SearchAttributeKey.for_keyword(names.AGENT_ATTRIBUTE)
_WAITING_FOR = SearchAttributeKey.for_keyword_list(names.WAITING_FOR_ATTRIBUTE)
_WAITING_SINCE = SearchAttributeKey.for_datetime(names.WAITING_SINCE_ATTRIBUTE)
_WAITING_FOR_BYTES = 1500
"""Temporal refuses a search attribute beyond 2,048 bytes of JSON, and with it the workflow task, for ever."""


def attributes(state: TaskState, waiting: tuple[str, ...]) -> list[Any]:
    """Return the updates that show a state; `waiting`: the roles and names that are waited for."""
    since = _WAITING_SINCE.value_set(state.since) if waiting else _WAITING_SINCE.value_unset()
    return [
        _STATUS.value_set(state.seen_status.value),
        _AGENT.value_set(state.spec.agent),
        _WAITING_FOR.value_set(_that_fit(waiting)) if waiting else _WAITING_FOR.value_unset(),
        since,
    ]


def _that_fit(waiting: tuple[str, ...]) -> list[str]:
    """Leave out the last names where they are too many; the roles come first, and the requests name everybody."""
    sizes = accumulate(len(json.dumps(name)) + 1 for name in waiting)
    return [name for name, size in zip(waiting, sizes, strict=True) if size <= _WAITING_FOR_BYTES]
