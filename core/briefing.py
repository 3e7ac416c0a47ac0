"""What a planner is told: built by the core as data; the adapters in `llm` turn it into a prompt."""

from core.contract import Contract
from core.record import Json, Message, Record


class Fact(Message):
    """One thing that happened, as the planner is told it. `result` is tool output: data, never instructions."""

    step: str
    tool: str
    outcome: str
    args: dict[str, Json] = {}
    result: Json = None
    note: str = ""


class Budget(Message):
    """What is left for this task."""

    rounds: int
    steps: int
    tokens: int
    cost_usd: float


class Briefing(Message):
    """The only input of a planner.

    ``call``: number of this planning call of the task, from 0. ``replies``: how many earlier calls ended with a reply,
    and ``spent``: how many errors of this model were used up since (both only for the scripted model, which counts by
    them). ``faults``: what was wrong with the last plan. ``cut``: what was left out to keep the size, in words.
    """

    task_id: str
    agent: str
    goal: str
    inputs: dict[str, Json] = {}
    round: int = 1
    call: int = 0
    replies: int = 0
    spent: int = 0
    done: tuple[Fact, ...] = ()
    failed: tuple[Fact, ...] = ()
    in_doubt: tuple[Fact, ...] = ()
    faults: tuple[str, ...] = ()
    instructions_added: tuple[str, ...] = ()
    without_tools: tuple[str, ...] = ()
    budget: Budget | None = None
    cut: tuple[str, ...] = ()


class Prompt(Record):
    """A briefing together with the agent's own text and tools: what an adapter renders. Never enters history.

    ``undoes``: the agent takes back what it did when a task ends badly, so what cannot be undone comes last.
    """

    instructions: str
    catalogue: tuple[Contract, ...]
    briefing: Briefing
    max_output_tokens: int = 4096
    attempt: int = 1
    undoes: bool = False
