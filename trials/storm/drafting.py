"""One task under construction: what is to happen, and the plans that the scripted model answers with."""

import random
from dataclasses import dataclass, field
from typing import Any

from trials.storm.truth import (
    CAP_CENTS,
    FINANCE,
    SMALL_CENTS,
    TOOLS,
    Blow,
    EffectTruth,
    Fate,
    Kind,
    Says,
    TaskTruth,
    Why,
    fee_cents,
    undo_memo,
)

Step = dict[str, Any]

UNDO_KINDS = {Kind.KEYED: Kind.KEYED, Kind.PROBED: Kind.UNREPEATABLE}
"""Kinds whose tools can take back what they did, and how that is sent."""


@dataclass
class Draft:
    """A task that is being drafted. ``number``: from 0; ``dice``: its own, so that no other task decides about it."""

    number: int
    dice: random.Random
    agent: str = "desk"
    ends: tuple[str, ...] = ("COMPLETED",)
    effects: list[EffectTruth] = field(default_factory=list)
    plans: list[list[Step]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.task_id = f"T{self.number:05d}"
        self.account = f"A-{self.number:05d}"
        self.requested_by = "ana" if self.dice.random() < 0.2 else "nora"
        self.needs = tuple(name for name in FINANCE if name != self.requested_by)

    def kind(self) -> Kind:
        """Choose a kind of effect."""
        return self.dice.choice(list(Kind))

    def small(self, kind: Kind | None = None, *, after: tuple[str, ...] = (), cents: int | None = None) -> EffectTruth:
        """Add an effect that nobody has to be asked for."""
        amount = cents or self.dice.randint(100, SMALL_CENTS)
        return self._add(kind or self.kind(), amount, after=after, fate=Fate.ONCE)

    def large(self, says: Says, *, after: tuple[str, ...] = ()) -> EffectTruth:
        """Add an effect that somebody has to allow."""
        planned, edited = self.dice.randint(SMALL_CENTS + 1, 90_000), self.dice.randint(SMALL_CENTS + 1, 90_000)
        fields: dict[str, Any] = {"needs": self.needs, "says": says, "after": after}
        match says:
            case Says.APPROVE | Says.WRONG_FIRST:
                fields |= {"fate": Fate.ONCE_IF_APPROVED}
            case Says.EDIT:
                fields |= {"fate": Fate.ONCE_IF_APPROVED, "amount_cents": edited}
            case Says.REJECT | Says.REPLAN:
                fields |= {"fate": Fate.NEVER, "why": Why.REJECTED}
            case Says.IGNORE:
                fields |= {"fate": Fate.NEVER, "why": Why.EXPIRED}
        return self._add(self.kind(), planned, **fields)

    def never(self, why: Why, *, account: str = "", after: tuple[str, ...] = ()) -> EffectTruth:
        """Add an effect that must not happen."""
        amount = CAP_CENTS + self.dice.randint(1, 1_000) if why is Why.OVER_CAP else self.dice.randint(100, SMALL_CENTS)
        return self._add(self.kind(), amount, account=account, after=after, fate=Fate.NEVER, why=why)

    def undo(self, effect: EffectTruth) -> None:
        """Add what takes an effect back."""
        taken_back = {
            "memo": undo_memo(effect.memo),
            "kind": UNDO_KINDS[effect.kind],
            "tool": f"{effect.tool}.undo",
            "amount_cents": -effect.amount_cents,
            "planned_cents": -effect.amount_cents,
            "undoes": effect.memo,
            "after": (),
        }
        self.effects.append(effect.model_copy(update=taken_back))

    def _add(self, kind: Kind, cents: int, *, account: str = "", **fields: Any) -> EffectTruth:
        effect = EffectTruth(
            memo=f"{self.task_id}-{len(self.effects) + 1}",
            kind=kind,
            tool=TOOLS[kind],
            account=account or self.account,
            planned_cents=cents,
            **{"amount_cents": cents, **fields},
        )
        self.effects.append(effect)
        return effect

    def fee(self) -> int:
        """Return the fee that a read of the task's account brings."""
        return fee_cents(self.account)

    # -------------------------------------------------------------------------------------------------- plans

    def call(self, effect: EffectTruth, *, look: str = "", **args: Any) -> list[Step]:
        """Plan an effect; account from the request, or from the step `look` that read it. Perhaps with a read first."""
        name = f"s{effect.memo.rpartition('-')[2]}"
        needs = [f"s{memo.rpartition('-')[2]}" for memo in effect.after]
        step: Step = {"id": name, "tool": effect.tool, "why": f"make {effect.memo}"}
        step["args"] = {
            "memo": effect.memo,
            "account": self._source(effect, look),
            "amount_cents": effect.planned_cents,
        }
        step["args"] |= args
        if needs:
            step["after"] = needs
        if effect.kind is not Kind.IDEMPOTENT or self.dice.random() < 0.5:
            return [step]
        step["args"]["version"] = {"$from": f"v_{name}", "path": "/version"}
        read: Step = {"id": f"v_{name}", "tool": "look_up_limit", "args": {"memo": effect.memo}, "why": "its version"}
        return [read, step]

    def look_up(self) -> Step:
        """Plan the read of the task's account."""
        args = {"account": "{{inputs/account}}"}
        return {"id": "look", "tool": "look_up_account", "args": args, "why": "find the account and its fee"}

    def _source(self, effect: EffectTruth, look: str) -> Any:
        if effect.account != self.account:
            return effect.account
        return {"$from": look or "inputs", "path": "/account"}

    # --------------------------------------------------------------------------------------------------- truth

    def truth(self, shape: str, blow: Blow) -> TaskTruth:
        """Finish the task, with what the nemesis does to it."""
        effects, ends = tuple(self.effects), self.ends
        if blow in (Blow.CANCEL, Blow.TERMINATE):
            effects = tuple(one.model_copy(update={"fate": Fate.AT_MOST_ONCE}) for one in effects)
            ends = (*ends, "CANCELLED" if blow is Blow.CANCEL else "TERMINATED")
        wanted = [one for one in effects if one.fate is not Fate.NEVER and not one.undoes]
        return TaskTruth(
            task_id=self.task_id,
            agent=self.agent,
            shape=shape,
            goal=f"Make the transfers of {self.task_id}",
            inputs={"account": self.account, "expected": len(wanted)},
            requested_by=self.requested_by,
            effects=effects,
            blow=blow,
            blow_after=0 if blow is Blow.NONE else self.dice.randrange(max(len(wanted), 1)),
            ends=ends,
        )
