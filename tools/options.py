"""The options of `@tool`, read into the fields of a contract; a wrong one says how to mend it."""

import string
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from core.contract import Effect
from core.durations import parse_duration

Duration = str | float | timedelta
Fail = Callable[[str], NoReturn]

_DURATIONS = ("key_window", "settle_time", "timeout", "fresh_for")
_COUNTS = ("attempts", "result_cap")
_TEXTS = ("fallback", "database", "approve_hint")
_KNOWN = ("effect", "identity", *_DURATIONS, *_COUNTS, *_TEXTS)


class Arguments(Protocol):
    """The names of a tool's arguments, and those of them that are free text."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def free_text(self) -> tuple[str, ...]: ...


class Options:
    """The options of one declaration. ``fail`` raises what is wrong with the tool; ``arguments``: what it takes."""

    def __init__(self, fail: Fail, arguments: Arguments, options: Mapping[str, Any]) -> None:
        self._fail = fail
        self._arguments = arguments
        self._options = {name: value for name, value in options.items() if value is not None}

    def read(self) -> dict[str, Any]:
        """Return fields of `Contract`. Raises what `fail` raises."""
        if unknown := [name for name in self._options if name not in _KNOWN]:
            self._fail(f"@tool has no option {', '.join(unknown)}; it has {', '.join(_KNOWN)}")
        effect = read_effect(self._fail, self._options.get("effect", "unrepeatable"))
        fields: dict[str, Any] = {"effect": effect, **self._durations(), **self._counts(), **self._texts()}
        fields["identity"] = self._identity(effect)
        self._check_pairs(effect, fields)
        self._check_hint(fields.get("approve_hint"))
        return fields

    def _durations(self) -> dict[str, timedelta]:
        found = {name: read_duration(self._fail, name, value) for name, value in self._chosen(_DURATIONS).items()}
        for name in ("key_window", "timeout"):
            if found.get(name) == timedelta(0):
                self._fail(f"{name} has to be longer than nothing")
        return found

    def _counts(self) -> dict[str, int]:
        found = self._chosen(_COUNTS)
        for name, value in found.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                self._fail(f"{name} is a whole number from 1 up, found {value!r}")
        return found

    def _texts(self) -> dict[str, str]:
        found = self._chosen(_TEXTS)
        for name, value in found.items():
            if not isinstance(value, str) or not value:
                self._fail(f"{name} is a text, found {value!r}")
        return found

    def _chosen(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: self._options[name] for name in names if name in self._options}

    def _identity(self, effect: Effect) -> tuple[str, ...] | None:
        names, free_text = self._arguments.names, self._arguments.free_text
        if "identity" in self._options:
            return self._named_identity(self._options["identity"])
        rest = tuple(name for name in names if name not in free_text)
        if names and not rest and effect is not Effect.READ:
            self._fail("all arguments are free text; say identity=(...) for what makes two calls the same")
        return rest if free_text else None

    def _named_identity(self, chosen: Any) -> tuple[str, ...]:
        if not isinstance(chosen, (list, tuple)) or not all(name in self._arguments.names for name in chosen):
            self._fail(f"identity={chosen!r} has to be a tuple of names of arguments; they are: {self._names()}")
        return tuple(chosen)

    def _names(self) -> str:
        return ", ".join(self._arguments.names) or "none"

    def _check_pairs(self, effect: Effect, fields: Mapping[str, Any]) -> None:
        if (effect is Effect.TRANSACTIONAL) != ("database" in fields):
            self._fail('effect="transactional" and database="ENVIRONMENT_VARIABLE" go together; add the other one')
        if effect is Effect.KEYED and "key_window" not in fields:
            self._fail('effect="keyed" needs key_window: how long the provider remembers a key, say "24h" (Stripe)')
        if effect is not Effect.KEYED and "key_window" in fields:
            self._fail('key_window is for effect="keyed"; say that, or leave it out')
        if effect is not Effect.READ and "fresh_for" in fields:
            self._fail('fresh_for is for effect="read"; say that, or leave it out')

    def _check_hint(self, hint: str | None) -> None:
        try:
            places = [name for _, name, _, _ in string.Formatter().parse(hint or "") if name is not None]
        except ValueError as error:
            self._fail(f"approve_hint cannot be read ({error}); a brace itself is written {{{{")
        if unknown := [name for name in places if name not in self._arguments.names]:
            self._fail(f"approve_hint names {', '.join(map(repr, unknown))}; the arguments are: {self._names()}")


def read_effect(fail: Fail, word: object) -> Effect:
    """Read the word for an effect."""
    if not isinstance(word, str) or word not in list(Effect):
        fail(f"effect={word!r} is none of {', '.join(Effect)}")
    return Effect(word)


def read_duration(fail: Fail, name: str, value: object) -> timedelta:
    """Read the duration of an option."""
    try:
        return parse_duration(value)
    except ValueError as error:
        fail(f"{name}: {error}")
