"""What a tool declares about itself, and the part of it that enters history."""

from datetime import timedelta
from enum import StrEnum
from functools import cached_property

from core.names import digest as hash_of
from core.record import Json, Message, Record, Seconds


class Effect(StrEnum):
    """What a tool does to the world, hence what may be done after a doubt (table in 3-effects)."""

    READ = "read"
    TRANSACTIONAL = "transactional"
    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    PROBED = "probed"
    UNREPEATABLE = "unrepeatable"


class Terms(Message):
    """The part of a contract that a step carries in history; the workflow derives its time-outs from nothing else.

    ``budget``: seconds that one attempt of the door may take in all (preflight + send + verify).
    ``attempts``: how often the call may be sent. ``fresh_for``: how long a read stays true; None = for ever.
    """

    digest: str
    effect: Effect
    budget: Seconds
    attempts: int
    fallback: str | None = None
    fresh_for: Seconds | None = None
    has_undo: bool = False


class Contract(Record):
    """Everything a tool declares. Schemas are JSON Schema (2020-12); durations are timedeltas.

    ``identity``: names of the arguments that make two calls the same intent; None = all.
    ``key_window``: how long the provider remembers a key. ``settle_time``: how long after the deadline of a send an
    absent probe is believed. ``result_cap``: bytes of a result that are kept at all.
    ``approve_hint``: a template over the arguments for the approver's card. ``source``: where the tool comes from.
    ``undoes``: the tool that this one takes back; such a tool is called by the runtime alone, and no plan may name it.
    """

    name: str
    description: str
    effect: Effect
    args_schema: dict[str, Json]
    result_schema: dict[str, Json] | None = None
    timeout: Seconds = timedelta(seconds=30)
    attempts: int = 5
    key_window: Seconds | None = None
    settle_time: Seconds = timedelta(seconds=5)
    identity: tuple[str, ...] | None = None
    fresh_for: Seconds | None = None
    result_cap: int = 8 * 1024 * 1024
    fallback: str | None = None
    approve_hint: str | None = None
    database: str | None = None
    has_preflight: bool = False
    has_verify: bool = False
    has_probe: bool = False
    has_undo: bool = False
    undoes: str | None = None
    source: str = "python"

    @property
    def writes(self) -> bool:
        """Whether a call may change the world."""
        return self.effect is not Effect.READ

    @cached_property
    def digest(self) -> str:
        """Hash of all that matters to a call that was planned with it; 16 hex digits."""
        without = {"description", "approve_hint", "source"} | (set() if self.undoes else {"undoes"})
        return hash_of(self.model_dump(mode="json", exclude=without), 16)

    @property
    def budget(self) -> timedelta:
        """Seconds that one attempt of the door may take: preflight, send and verify each within `timeout`, plus 5."""
        phases = 1 + self.has_preflight + (self.has_verify or self.has_probe)
        return self.timeout * phases + timedelta(seconds=5)

    def terms(self) -> Terms:
        """Take what a step needs to carry."""
        return Terms(
            digest=self.digest,
            effect=self.effect,
            budget=self.budget,
            attempts=self.attempts,
            fallback=self.fallback,
            fresh_for=self.fresh_for,
            has_undo=self.has_undo,
        )
