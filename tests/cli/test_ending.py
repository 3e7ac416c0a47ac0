"""Ctrl-C on `dev`: calls under way end, and are written down, before the server goes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest

from core.receipts import Row
from demo.child import free_port
from ledger import open_ledger
from tests.cli.conftest import PLAN, TOOLS, CommandLine, write_agent, write_config

STARTER = Path(__file__).parents[2] / "starter.py"
SLOW = TOOLS.replace(
    "    with Path",
    """    import asyncio
    Path(os.environ["SHOP_BOOK"] + ".began").touch()
    while not Path(os.environ["SHOP_BOOK"] + ".goes_on").exists():
        await asyncio.sleep(0.02)
    with Path""",
)
INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "temporalio":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize("log_is_read", [True, False], ids=["on a terminal", "with a reader that Ctrl-C ends too"])
def test_ctrl_c_hears_out_the_call_under_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log_is_read: bool
) -> None:
    write_agent(tmp_path / "agents" / "shop", {"plan": PLAN})
    (tmp_path / "agents" / "shop" / "tools.py").write_text(SLOW)
    config, book = write_config(tmp_path, f"127.0.0.1:{free_port()}"), tmp_path / "book.txt"
    command = [sys.executable, str(STARTER), "dev", "--config", str(config), "--ui-port", str(free_port())]
    environ = {**os.environ, "SHOP_BOOK": str(book)}
    # a group of its own, as a shell makes for what is typed at a terminal
    dev = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, start_new_session=True
    )
    assert dev.stdout is not None
    try:
        _read_until(dev.stdout, b"worker.started")
        wish = ("run", "shop", "buy", "--id", "t1", "--input", "what=tea", "--input", "count=1")
        assert CommandLine(config, capsys)(*wish).code == 0
        _until(Path(f"{book}.began").exists)
        if not log_is_read:
            dev.stdout.close()
        os.killpg(dev.pid, signal.SIGINT)
        if log_is_read:
            _read_until(dev.stdout, b"worker.draining")
        Path(f"{book}.goes_on").touch()
        assert dev.wait(40) == 0
    finally:
        dev.kill()
        dev.wait()
        dev.stdout.close()
    assert book.read_text() == "t1 tea 1\n"
    assert [(row.state, row.sends) for row in asyncio.run(_rows(tmp_path / "ledger.db", "t1"))] == [("SUCCEEDED", 1)]


async def _rows(ledger: Path, task_id: str) -> Sequence[Row]:
    async with open_ledger(f"sqlite:///{ledger}") as opened:
        return await opened.rows(task_id)


def _read_until(log: IO[bytes], word: bytes) -> None:
    seen = []
    for line in log:
        seen.append(line)
        if word in line:
            return
    raise AssertionError(b"".join(seen))


def _until(fact: Callable[[], bool], seconds: float = 60) -> None:
    give_up_at = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


@pytest.mark.parametrize("script", ["starter.py", "worker.py"])
def test_ctrl_c_while_modules_are_loaded_ends_without_a_word(tmp_path: Path, script: str) -> None:
    # sent when a module is looked for that is loaded long before anything else runs
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IMPORT)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, str(STARTER.with_name(script)), "--help"],
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
