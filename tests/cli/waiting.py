"""Waits for a fact about a task, with a limit."""

import time

from tests.cli.conftest import CommandLine


def until(cli: CommandLine, task_id: str, status: str, seconds: float = 60) -> dict[str, object]:
    """Ask until the task stands so."""
    give_up_at = time.monotonic() + seconds
    while True:
        ran = cli("show", task_id, "--json")
        seen: dict[str, object] = ran.json if ran.code == 0 else {"status": ran.err}
        if seen["status"] == status:
            return seen
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.05)
