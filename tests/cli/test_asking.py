import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from cli import asking
from cli.asking import Somebody, read_line
from cli.errors import Declined
from cli.screen import Screen
from cli.telling import Teller


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch, body: bytes) -> Iterator[None]:
    reading, writing = os.pipe()
    os.write(writing, body)
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield


async def test_end_of_input_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch, b""):
        assert await read_line() is None
    with standard_input(monkeypatch, b"\n"):
        assert await read_line() == ""


async def test_end_of_input_at_an_approval_is_nobodys_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked:
        id = "t1"

    monkeypatch.setattr(asking, "request_panel", lambda *_, **__: "the request")
    somebody = Somebody("ana", Teller(Screen()), is_present=True)
    with standard_input(monkeypatch, b""), pytest.raises(Declined, match="nobody answered"):
        await somebody.decide(cast("Any", Asked()), cast("Any", Asked()))  # without a `decide`: nothing is said to it
