"""The `@tool` decorator: what a tool says about itself, checked as it is written down. It runs nothing."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, overload

from core.contract import Contract, Effect
from core.errors import ConfigError
from core.names import RESERVED_TOOL_NAMES
from tools.arguments import ArgumentParser, BadSignature
from tools.function import Function, place_of, reject_generators
from tools.options import Duration, Options, read_duration, read_effect
from tools.results import ResultConverter

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


_UNDO_KEY_WINDOW = timedelta(hours=1)
"""How long a key of an undo is counted on where nobody says; providers remember one for 24 h (Stripe) or longer."""


@dataclass(frozen=True, slots=True)
class Undo:
    """How a tool's effect is taken back: an effect of its own, named ``TOOL.undo``."""

    function: Function
    effect: Effect
    key_window: timedelta | None
    converter: ResultConverter


@overload
def tool(function: Function, /) -> "Declaration": ...
@overload
def tool(
    *,
    effect: str = ...,
    key_window: Duration | None = ...,
    settle_time: Duration | None = ...,
    timeout: Duration | None = ...,
    attempts: int | None = ...,
    identity: Sequence[str] | None = ...,
    fresh_for: Duration | None = ...,
    fallback: str | None = ...,
    result_cap: int | None = ...,
    database: str | None = ...,
    approve_hint: str | None = ...,
) -> Callable[[Function], "Declaration"]: ...
def tool(function: Function | None = None, /, **options: Any) -> "Declaration | Callable[[Function], Declaration]":
    """Declare a function as a tool; usable bare or with options.

    ``effect``: read, transactional, idempotent, keyed, probed or unrepeatable (the default: never repeated by itself).
    ``key_window``: how long the provider remembers `call.key` (keyed must say it). ``settle_time``: how long after the
    deadline of a send an absent probe is believed. ``timeout``: of one send. ``attempts``: how often it may be sent.
    ``identity``: arguments that make two calls the same intent; default all but those typed `FreeText`. ``fresh_for``:
    how long a read stays true. ``fallback``: the tool to use while this one is unavailable. ``result_cap``: bytes of a
    result that are kept. ``database``: the environment variable with the URL of a transactional tool's database.
    ``approve_hint``: what the approver reads, over the arguments: ``"refund {amount_cents} on {order_id}"``.

    Durations are written ``"20s"``, ``"5m"``, ``"1h30m"``, ``"7d"``, as a number of seconds or as a timedelta.
    Raises ConfigError naming file, line, tool, what is wrong and how to mend it.
    """
    if function is not None:
        return Declaration(function, {})
    return lambda decorated: Declaration(decorated, options)


class Declaration:
    """A declared tool. Its methods register hooks; called, it calls the plain function (for tests and other tools)."""

    def __init__(self, function: Function, options: Mapping[str, Any]) -> None:
        self.function = function
        self.hooks: dict[str, Function] = {}
        self.undoing: Undo | None = None
        self.name = getattr(function, "__name__", "")
        self._check_function()
        try:
            reject_generators(function)
            self.parser = ArgumentParser(self.name, function)
            self.converter = ResultConverter(function)
            schemas = {"args_schema": self.parser.schema(), "result_schema": self.converter.schema()}
        except BadSignature as error:
            self.fail(str(error))
        self._contract = Contract.model_validate(
            {
                "name": self.name,
                "description": inspect.getdoc(function) or "",
                **schemas,
                **Options(self.fail, self.parser, options).read(),
            }
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} ({place_of(self.function)})>"

    def preflight(self, function: AnyFunction) -> AnyFunction:
        """Register the look-up of facts: ``(call, **arguments) -> dict``; may raise Refused."""
        self._check_preflight(function)
        return self._hook("preflight", function)

    def verify(self, function: AnyFunction) -> AnyFunction:
        """Register the read-back: ``(call, args, result) -> bool``."""
        self._check_positional("verify", function, 3)
        return self._hook("verify", function)

    def probe(self, function: AnyFunction) -> AnyFunction:
        """Register the question whether it happened: ``(call, args) -> result, or None when it is not there``."""
        self._check_positional("probe", function, 2)
        return self._hook("probe", function)

    @overload
    def undo(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def undo(self, *, effect: str = ..., key_window: Duration | None = ...) -> Callable[[AnyFunction], AnyFunction]: ...
    def undo(self, function: Any = None, *, effect: str = "unrepeatable", key_window: Duration | None = None) -> Any:
        """Register how the effect is taken back: ``(call, args, result) -> None``. Its effect is one of its own.

        ``args`` and ``result`` are those of the call that is taken back, in the types that the tool declares; a stored
        result that does not fit its type any more comes as plain JSON.

        ``effect``: idempotent, keyed, unrepeatable (the default), or transactional like its tool: then it is applied in
        the tool's own database, by ``call.connection``. ``key_window``: of a keyed undo; default that of the tool, else
        one hour.
        """
        if function is None:
            return lambda decorated: self._undo(decorated, effect, key_window)
        return self._undo(function, effect, key_window)

    def contract(self) -> Contract:
        """Return the finished contract, hooks included. Raises ConfigError when a hook is missing that it needs."""
        if self._contract.effect is Effect.PROBED and "probe" not in self.hooks:
            self.fail(f'effect="probed" needs a probe; add one with `@{self.name}.probe`, or declare another effect')
        present = {f"has_{hook}": hook in self.hooks for hook in ("preflight", "verify", "probe")}
        return self._contract.model_copy(update={**present, "has_undo": self.undoing is not None})

    def fail(self, problem: str) -> NoReturn:
        """Raise ConfigError about this tool: where it is written, and what is wrong with it."""
        raise ConfigError(f"{place_of(self.function)}: tool `{self.name}`: {problem}")

    def _check_function(self) -> None:
        if not callable(self.function) or not _NAME.fullmatch(self.name):
            self.fail("a tool is a function with a name of letters, digits and _ (at most 64)")
        if self.name in RESERVED_TOOL_NAMES:
            self.fail("the name is reserved for the runtime; call the function something else")

    def _hook(self, kind: str, function: AnyFunction) -> AnyFunction:
        if kind in self.hooks:
            self.fail(f"has two functions for {kind}; keep one ({place_of(function)})")
        self.hooks[kind] = function
        return function

    def _undo(self, function: AnyFunction, effect: str, key_window: Duration | None) -> AnyFunction:
        if self.undoing is not None:
            self.fail(f"has two functions for undo; keep one ({place_of(function)})")
        self._check_positional("undo", function, 3)
        kind = self._undo_effect(effect)
        window = self._undo_key_window(key_window) if kind is Effect.KEYED else None
        try:
            reject_generators(function)
            converter = ResultConverter(function)
        except BadSignature as error:
            self.fail(f"undo ({place_of(function)}): {error}")
        self.undoing = Undo(function, kind, window, converter)
        return function

    def _undo_effect(self, effect: str) -> Effect:
        kind = read_effect(self.fail, effect)
        if kind is Effect.TRANSACTIONAL and self._contract.effect is not Effect.TRANSACTIONAL:
            self.fail(
                'undo(effect="transactional") is for a tool that is transactional itself: they share its database'
            )
        if kind is Effect.PROBED:
            self.fail(
                "an undo cannot be asked whether it happened, for it has no probe; declare it idempotent if to undo "
                "twice is as good as once, keyed if the provider knows `call.key` again, else unrepeatable"
            )
        if kind is Effect.READ:
            self.fail("an undo changes something; declare it idempotent, keyed, transactional or unrepeatable")
        return kind

    def _undo_key_window(self, said: Duration | None) -> timedelta:
        if said is None:
            return self._contract.key_window or _UNDO_KEY_WINDOW
        return read_duration(self.fail, "key_window", said)

    def _check_preflight(self, function: Function) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        unknown = [p.name for p in parameters[1:] if p.kind is not p.VAR_KEYWORD and p.name not in self.parser.names]
        if not parameters or unknown:
            self.fail(
                f"preflight ({place_of(function)}) takes `call` and arguments of the tool"
                + (f", and there is none called {', '.join(unknown)}" if unknown else "")
            )

    def _check_positional(self, hook: str, function: Function, count: int) -> None:
        try:
            inspect.signature(function).bind(*range(count))
        except TypeError:
            shape = ("call", "args", "result")[:count]
            self.fail(f"{hook} ({place_of(function)}) has to take ({', '.join(shape)})")
