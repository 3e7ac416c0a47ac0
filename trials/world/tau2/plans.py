"""From gold actions to what a planner would send: plans whose values come from earlier results, where they do.

A plan ends with the first call that the desk refuses; what comes after is the planner's reply to that refusal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.record import Json
from core.references import escape

_SHORTEST = 4
"""Characters; a shorter text stands in many results by chance."""


@dataclass(frozen=True, slots=True)
class Act:
    """One gold action as the desk itself answers it. `result`: what it says, None for a refusal."""

    tool: str
    args: dict[str, Json]
    is_read: bool
    is_refused: bool
    result: Json = None


@dataclass(frozen=True, slots=True)
class Script:
    """What the planner replies, one plan after the other. `taken`: values from results, of all `values` (texts)."""

    replies: tuple[Json, ...]
    taken: int
    values: int


@dataclass(frozen=True, slots=True)
class _Source:
    round: int
    step: str
    path: str

    def named(self, number: int) -> str:
        """Name the step in a plan of round `number`."""
        return self.step if self.round == number else f"r{self.round}.{self.step}"


def script(acts: Sequence[Act]) -> Script:
    """Write the plans of one task."""
    return _Writer().write(acts)


class _Writer:
    """Remembers which step brought which value first."""

    def __init__(self) -> None:
        self._known: dict[str, _Source] = {}
        self._done: list[tuple[Act, _Source]] = []
        self._taken = self._values = 0

    def write(self, acts: Sequence[Act]) -> Script:
        replies = [self._plan(number, part) for number, part in enumerate(_parts(acts), start=1)]
        return Script(tuple(replies), self._taken, self._values)

    def _plan(self, number: int, acts: Sequence[Act]) -> Json:
        steps: list[dict[str, Json]] = []
        for place, act in enumerate(acts, start=1):
            args = {name: self._value(value, number) for name, value in act.args.items()}
            after: list[Json] = [f"s{place - 1}"] if place > 1 else []
            steps.append({"id": f"s{place}", "tool": act.tool, "args": args, "after": after, "why": "gold"})
            source = _Source(number, f"s{place}", "/parsed_content")
            if (twin := self._twin_of(act)) is not None:
                steps[-1]["repeat_of"] = twin.named(number)
            if act.is_read:  # a write that is found in the log, not answered, has a result of another shape
                self._learn(act.result, source)
            elif not act.is_refused:
                self._done.append((act, source))
        return {"plan": {"steps": steps, "finish": {"answer": "done"}}}

    def _value(self, value: Json, number: int) -> Json:
        match value:
            case dict():
                return {name: self._value(item, number) for name, item in value.items()}
            case list():
                return [self._value(item, number) for item in value]
            case str() if len(value) >= _SHORTEST:
                self._values += 1
                return self._reference(value, number)
        return value

    def _reference(self, value: str, number: int) -> Json:
        if (source := self._known.get(value)) is None:
            return value
        self._taken += 1
        return {"$from": source.named(number), "path": source.path}

    def _twin_of(self, act: Act) -> _Source | None:
        """Find the last write that was just the same: gold wants it a second time."""
        done = [source for other, source in self._done if (other.tool, other.args) == (act.tool, act.args)]
        return done[-1] if done else None

    def _learn(self, result: Json, source: _Source) -> None:
        match result:
            case dict():
                for name, item in result.items():
                    self._learn(item, _Source(source.round, source.step, f"{source.path}/{escape(name)}"))
            case list():
                for index, item in enumerate(result):
                    self._learn(item, _Source(source.round, source.step, f"{source.path}/{index}"))
            case str():
                self._known.setdefault(result, source)


def _parts(acts: Sequence[Act]) -> Iterator[Sequence[Act]]:
    """Cut after each refusal; the last part may be empty: then there is only the answer left to give."""
    begin = 0
    for place, act in enumerate(acts, start=1):
        if act.is_refused:
            yield acts[begin:place]
            begin = place
    yield acts[begin:]
