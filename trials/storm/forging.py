"""Signals that nobody should send: duplicates of what was said, stale and forged answers, and what cannot be read.

Forged answers never carry the name of somebody who may answer together with a digest that fits: with `trust = "open"`
a name is believed as given.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.service import RPCError

from trials.storm.journal import Journal
from trials.storm.truth import FINANCE, OTHERS, TaskTruth

WHO = "nemesis"
_SIGNALS = ("approve", "reject", "answer", "amend", "pause")
_STALE_DIGEST = "0123456789abcdef"


class Forger:
    """Sends such signals to tasks that run. `running` gives them, `said` what people said lately."""

    def __init__(
        self,
        seed: int,
        client: Client,
        running: Callable[[], Sequence[TaskTruth]],
        said: Callable[[], Sequence[Mapping[str, Any]]],
        journal: Journal,
    ) -> None:
        self._random = Random(f"{seed}:forger")  # noqa: S311 - a seed that repeats is what is wanted
        self._client, self._running, self._said, self._journal = client, running, said, journal

    async def run(self) -> None:
        """Send one every 0.1 to 0.6 s, until cancelled."""
        while True:
            await asyncio.sleep(self._random.uniform(0.1, 0.6))
            tasks = self._running()
            if tasks:
                await self._send(self._random.choice(tasks))

    async def _send(self, task: TaskTruth) -> None:
        kind = self._random.choice(["duplicate", "stale", "forged", "undecodable", "unknown"])
        match kind:
            case "duplicate":
                wanted = self._duplicate()
            case "stale":
                wanted = task.task_id, "approve", self._stale()
            case "forged":
                wanted = task.task_id, *self._forged(task)
            case "undecodable":
                wanted = task.task_id, self._random.choice(_SIGNALS), self._undecodable()
            case _:
                wanted = task.task_id, self._random.choice(["aprove", "exec", "Ω"]), {"by": FINANCE[0]}
        if wanted is None:
            return
        task_id, signal, payload = wanted
        try:
            await self._client.get_workflow_handle(task_id).signal(signal, payload)
        except RPCError:  # the server is away, or the task has ended
            return
        self._journal.write(WHO, f"signal.{kind}", task=task_id, signal=signal)

    def _duplicate(self) -> tuple[str, str, Any] | None:
        said = self._said()
        if not said:
            return None
        line = self._random.choice(said)
        choice = line["payload"].get("choice")
        signal = choice if choice in ("approve", "reject") else "answer"
        return line["task"], signal, line["payload"]

    def _stale(self) -> dict[str, Any]:
        """An answer by the right person to something that is not there (any more)."""
        by = self._random.choice(FINANCE)
        return self._random.choice(
            [{"by": by, "digest": _STALE_DIGEST}, {"by": by, "request_id": "q99"}, {"by": by, "request_id": "q0"}]
        )

    def _forged(self, task: TaskTruth) -> tuple[str, Any]:
        """Somebody who may not: a stranger, nobody, or whoever asked for the task."""
        by = self._random.choice([*OTHERS, "", task.requested_by])
        return self._random.choice(
            [
                ("approve", by or None),
                ("approve", {"by": by, "request_id": "q1"}),
                ("approve", {"by": by, "args": {"amount_cents": 1}}),
                ("reject", {"by": by}),
                ("answer", {"by": by, "choice": "happened"}),
                ("answer", {"by": by, "choice": "did_not_happen"}),
                ("answer", {"by": by, "choice": "skip"}),
            ]
        )

    def _undecodable(self) -> RawValue:
        noise = self._random.randbytes(self._random.randint(1, 200))
        return RawValue(
            self._random.choice(
                [
                    Payload(metadata={"encoding": b"json/plain"}, data=b'{"by": "ana"'),
                    Payload(metadata={"encoding": b"binary/encrypted"}, data=noise),
                    Payload(metadata={"encoding": b"json/plain"}, data=noise),
                    Payload(data=noise),
                    Payload(metadata={"encoding": b"binary/plain"}, data=noise),
                ]
            )
        )
