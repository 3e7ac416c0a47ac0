"""The shapes of the storm's tasks: chains and fans, approvals of every kind, denials, refusals, undone work."""

from collections.abc import Callable
from dataclasses import dataclass

from trials.storm.drafting import UNDO_KINDS, Draft
from trials.storm.truth import CLOSED_PREFIX, DENIED_PREFIX, EffectTruth, Says, Why

_ALLOWING = (Says.APPROVE, Says.APPROVE, Says.APPROVE, Says.WRONG_FIRST, Says.EDIT)


@dataclass(frozen=True)
class Shape:
    """One shape. ``weight``: how often, in parts of all; ``takes_blows``: whether the nemesis may single it out."""

    name: str
    weight: int
    draw: Callable[[Draft], None]
    takes_blows: bool = False


def shapes() -> tuple[Shape, ...]:
    """Return all shapes."""
    return (
        Shape("single", 4, single, takes_blows=True),
        Shape("chain", 24, chain, takes_blows=True),
        Shape("fan", 28, fan, takes_blows=True),
        Shape("asked", 20, asked, takes_blows=True),
        Shape("rejected", 4, rejected),
        Shape("rejected_for_another", 4, rejected_for_another),
        Shape("expired", 4, expired),
        Shape("denied", 4, denied),
        Shape("refused", 4, refused),
        Shape("undone", 4, undone),
    )


def single(draft: Draft) -> None:
    """One effect."""
    draft.plans.append(draft.call(draft.small()))


def chain(draft: Draft) -> None:
    """A read, then effects one after the other; the first one moves the fee that was read."""
    effects = [draft.small(cents=draft.fee())]
    for _ in range(draft.dice.randint(2, 4)):
        effects.append(draft.small(after=(effects[-1].memo,)))
    fee = {"$from": "look", "path": "/fee_cents"}
    first, *rest = effects
    steps = [draft.look_up(), *draft.call(first, look="look", amount_cents=fee)]
    draft.plans.append([*steps, *(step for one in rest for step in draft.call(one, look="look"))])


def fan(draft: Draft) -> None:
    """Effects side by side, of all kinds, and one that waits for all of them."""
    effects = [draft.small() for _ in range(draft.dice.randint(3, 5))]
    if draft.dice.random() < 0.3:
        effects.append(draft.small(after=tuple(one.memo for one in effects)))
    draft.plans.append([step for one in effects for step in draft.call(one)])


def asked(draft: Draft) -> None:
    """A small one, then one that somebody has to allow, then (perhaps beside it) a small one."""
    first = draft.small()
    middle = draft.large(draft.dice.choice(_ALLOWING), after=(first.memo,))
    last = draft.small(after=(middle.memo,) if draft.dice.random() < 0.5 else (first.memo,))
    draft.plans.append(_all_of(draft, first, middle, last))


def rejected(draft: Draft) -> None:
    """Somebody says no, and that is the end: what waits for it never happens."""
    first = draft.small()
    no = draft.large(Says.REJECT, after=(first.memo,))
    draft.plans.append(_all_of(draft, first, no, draft.never(Why.AFTER, after=(no.memo,))))
    draft.ends = ("REJECTED",)


def expired(draft: Draft) -> None:
    """Nobody says anything until the request expires."""
    draft.agent = "brief"
    first = draft.small()
    no = draft.large(Says.IGNORE, after=(first.memo,))
    draft.plans.append(_all_of(draft, first, no, draft.never(Why.AFTER, after=(no.memo,))))
    draft.ends = ("EXPIRED",)


def rejected_for_another(draft: Draft) -> None:
    """Somebody says no and what to do instead; the next plan does that."""
    first = draft.small()
    no = draft.large(Says.REPLAN, after=(first.memo,))
    _instead(draft, first, no, draft.small(after=(first.memo,)))


def denied(draft: Draft) -> None:
    """Policy says no (an account, or an amount); the next plan does without."""
    first = draft.small()
    if draft.dice.random() < 0.5:
        no = draft.never(Why.OVER_CAP, after=(first.memo,))
    else:
        no = draft.never(Why.DENIED, account=f"{DENIED_PREFIX}{draft.number:05d}", after=(first.memo,))
    _instead(draft, first, no, draft.small(after=(first.memo,)))


def refused(draft: Draft) -> None:
    """The bank says no for good; the next plan does without."""
    first = draft.small()
    no = draft.never(Why.REFUSED, account=f"{CLOSED_PREFIX}{draft.number:05d}", after=(first.memo,))
    _instead(draft, first, no, draft.small(after=(first.memo,)))


def undone(draft: Draft) -> None:
    """Two are done, then somebody says no to the third, and the two are taken back."""
    draft.agent = "undo"
    first, second = (draft.small(kind) for kind in draft.dice.sample(list(UNDO_KINDS), 2))
    no = draft.large(Says.REJECT, after=(first.memo, second.memo))
    draft.plans.append(_all_of(draft, first, second, no))
    draft.undo(first)
    draft.undo(second)
    draft.ends = ("REJECTED",)


def _instead(draft: Draft, first: EffectTruth, no: EffectTruth, other: EffectTruth) -> None:
    draft.plans += [_all_of(draft, first, no), _all_of(draft, first, other)]


def _all_of(draft: Draft, *effects: EffectTruth) -> list[dict[str, object]]:
    return [step for one in effects for step in draft.call(one)]
