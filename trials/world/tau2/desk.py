"""One desk of tau2: its tasks, its server behind a post that loses answers, and what is right by tau2's own classes."""

import asyncio
import hashlib
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.record import Json
from trials.world.installed import program
from trials.world.tau2.plans import Act
from trials.world.tau2.post import Post, posted

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]


class GoldFailed(Exception):
    """tau2's own classes could not be asked; the text is what they said."""


@dataclass(frozen=True, slots=True)
class Gold:
    """What is right for one task: the calls with the desk's answers, and the hash of the end state."""

    id: str
    acts: tuple[Act, ...]
    hash: str

    @property
    def writes(self) -> list[dict[str, Json]]:
        """The calls that change something, as the server logs them."""
        return [
            {"name": act.tool, "arguments": act.args} for act in self.acts if not act.is_read and not act.is_refused
        ]

    @property
    def refusals(self) -> int:
        """How many calls the desk refuses."""
        return sum(act.is_refused for act in self.acts)


@dataclass(frozen=True, slots=True)
class Desk:
    """`name`: retail, airline or telecom. ``reads``: tools that change nothing. `folder`: for states and logs."""

    name: str
    reads: frozenset[str]
    folder: Path

    @asynccontextmanager
    async def served(self, kind: str, lost_share: float, seed: int) -> AsyncIterator[Post]:
        """Have the server run on a state folder of its own, called `kind`."""
        states = self.states(kind)
        states.mkdir(parents=True)
        environ = {**os.environ, f"TAU2_{self.name.upper()}_MCP_STATE_DIR": str(states), "PYTHONPATH": str(_ROOT)}
        post = Post(lost_share, random.Random(seed))  # noqa: S311 - to be repeated, not to be secret
        async with posted(self._command(states), environ, self.folder / f"{kind}.log", post):
            yield post

    def _command(self, states: Path) -> list[str]:
        if self.name == "telecom":
            return [str(program("tau2", "python")), "-m", f"{__package__}.telecom_server", str(states)]
        return [str(program("tau2", f"tau2-{self.name}-mcp-eval"))]

    def states(self, kind: str) -> Path:
        """Return the folder of states."""
        return self.folder / kind

    def state(self, kind: str, key: str) -> dict[str, Any]:
        """Read what the server keeps of one task: ``db``, ``calls``."""
        file = self.states(kind) / f"{_file_of(key)}.json"
        state: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {"calls": []}
        return state

    async def hashes(self, kind: str) -> dict[str, str]:
        """Hash all end states, by tau2's own classes; by name of the file (see `hash_of`)."""
        found: dict[str, str] = await _ask_gold("hashes", self.name, str(self.states(kind)))
        return found

    async def ids(self) -> list[str]:
        """Name all tasks."""
        found: list[str] = await _ask_gold("ids", self.name)
        return found

    async def gold(self, ids: Sequence[str]) -> list[Gold]:
        """Find out what is right: the end states by tau2's classes, the answers by an undisturbed server."""
        right = await _ask_gold("actions", self.name, *ids)
        async with self.served("gold", 0.0, 0) as post:
            return [
                Gold(one, await self._acts(post, one, told["actions"]), told["hash"]) for one, told in right.items()
            ]

    async def _acts(self, post: Post, task: str, actions: Sequence[dict[str, Any]]) -> tuple[Act, ...]:
        acts = []
        for action in actions:
            args = action["arguments"]
            answer = await post.call(action["name"], {**args, "state_key": f"gold-{task}"})
            is_read, result = action["name"] in self.reads, answer["parsed_content"]
            acts.append(Act(action["name"], args, is_read, not answer["ok"], result if answer["ok"] else None))
        return tuple(acts)


def hash_of(hashes: dict[str, str], key: str) -> str:
    """Return the hash of one task's state; "" when the server has none: nothing was ever called."""
    return hashes.get(_file_of(key), "")


def _file_of(key: str) -> str:
    """The servers name the file of a state so."""
    return hashlib.sha256(key.encode()).hexdigest()


async def _ask_gold(*arguments: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        str(program("tau2", "python")),
        str(_HERE / "gold.py"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    if process.returncode:
        raise GoldFailed(errors.decode("utf-8", "replace")[-500:])
    return json.loads(out)
