"""Good plans out of a grammar, and bad ones: each a good one with one thing wrong, or no plan at all. All from a seed.

A bad plan names the step and the place that are wrong where there is one such place: a refusal has to name them too.
"""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

from core.record import Json

Document = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Bad:
    """A reply that is no plan. `step` and `where` (a pointer's beginning) are "" where the whole of it is wrong."""

    kind: str
    text: str
    step: str = ""
    where: str = ""


def good(dice: random.Random) -> Document:
    """Make a plan that may run: look-ups first, then calls that refer to them; text of many scripts."""
    reads = dice.randrange(1, 4)
    steps = [_call(f"s{number}", "look_up", order_id=_words(dice)) for number in range(reads)]
    for number in range(reads, reads + dice.randrange(1, 6)):
        source = f"s{dice.randrange(reads)}"
        steps.append(_write(dice, f"s{number}", source))
    answer = f"done {{{{{steps[0]['id']}/customer/email}}}}"
    return {"steps": steps, "finish": {"answer": answer}, "confidence": round(dice.random(), 2)}


def _write(dice: random.Random, name: str, source: str) -> Document:
    amount = dice.choice([dice.randrange(1, 2**53), {"$from": source, "path": "/total_cents"}])
    mail = {
        "to": {"$from": source, "path": "/customer/email"},
        "lines": [_words(dice), f"for {{{{{source}/order_id}}}}"],
    }
    return dice.choice(
        [
            _call(name, "pay", order_id={"$from": source, "path": "/order_id"}, amount_cents=amount),
            _call(name, "mail", **mail, urgent=dice.random() < 0.5),
            _call(name, "note", text=f"{_words(dice)} {{{{{source}/total_cents}}}}"),
        ]
    )


def _call(name: str, tool: str, **args: Json) -> Document:
    return {"id": name, "tool": tool, "args": args, "after": [], "why": "tried"}


def _words(dice: random.Random) -> str:
    return "".join(
        dice.choice("abc xyz\u00e9\u4e2d\u0440\U0001f600'\"\\/\u202e\u00a0") for _ in range(dice.randrange(1, 30))
    )


def bad(count: int, seed: int) -> Iterator[Bad]:
    """Yield bad plans; every kind comes up before any comes again."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    kinds = [*MUTATIONS, *NO_PLANS]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        if kind in MUTATIONS:
            plan = deepcopy(good(dice))
            chosen = plan["steps"][dice.randrange(len(plan["steps"]))]
            step, where = MUTATIONS[kind](dice, plan, chosen)
            yield Bad(kind, _dump(plan), step, where)
        else:
            yield Bad(kind, NO_PLANS[kind](dice))


def _dump(plan: Document) -> str:
    return json.dumps(plan, ensure_ascii=True)


# ---------------------------------------------------------------------------------------------- one thing is wrong

Mutation = Callable[[random.Random, Document, Document], tuple[str, str]]
"""Spoils a plan (in the chosen step, or elsewhere); returns the step and the place that are wrong then."""


def _type_of_field(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    field = dice.choice(["tool", "args", "after", "why"])
    step[field] = dice.choice([7, True, 1.5, {"a": 1} if field != "args" else [1]])
    return step["id"], f"/{field}"


def _type_of_argument(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    name = dice.choice(list(step["args"]))
    step["args"][name] = dice.choice([None, 1.5, {"a": [1]}])
    return step["id"], f"/args/{name}"


def _missing_argument(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    required = [name for name in step["args"] if name != "urgent"]
    del step["args"][dice.choice(required)]
    return step["id"], "/args"


def _unknown_argument(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    step["args"][dice.choice(["key", "Order_id", "\u043erder_id", "", "__proto__", "x" * 300])] = 1
    return step["id"], "/args"


def _unknown_tool(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    step["tool"] = dice.choice(["rm", "pay ", "PAY", "", "open_task", "../pay", "pay.undo", "p\u0430y", "x" * 5_000])
    return step["id"], "/tool"


def _unknown_field(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    field = dice.choice(["key", "approved", "Args", "policy", "idempotency_key"])
    step[field] = True
    return step["id"], f"/{field}"


def _bad_id(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"][-1]["id"] = dice.choice(["", "S1", "1", "a b", "s" * 40, "r1.s1", "s1\n", "\u0455", "s-1", "s1/x"])
    return "", "/id"


def _same_id(_dice: random.Random, plan: Document, step: Document) -> tuple[str, str]:
    plan["steps"].append(deepcopy(step))
    return step["id"], "/id"


def _reserved_id(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"][-1]["id"] = "inputs"
    return "inputs", "/id"


def _cycle(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"][0]["after"] = [plan["steps"][-1]["id"]]
    plan["steps"][-1]["after"] = [plan["steps"][0]["id"]]
    return plan["steps"][0]["id"], "/after"


def _itself(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    field = dice.choice(["repeat_of", "after"])
    step[field] = step["id"] if field == "repeat_of" else [step["id"]]
    return step["id"], f"/{field}"


def _unknown_step(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    name, field = dice.choice(["s99", "r7.s1", "S1", "outputs", "", "inputs"]), dice.choice(["repeat_of", "after"])
    step[field] = name if field == "repeat_of" else [name]
    return step["id"], f"/{field}"


def _dangling(dice: random.Random, _plan: Document, step: Document) -> tuple[str, str]:
    return _refer(dice, step, {"$from": dice.choice(["s99", "r7.s1", "S1", "outputs", ""]), "path": "/x"})


def _no_such_path(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    path = dice.choice(["/nothing", "/customer/phone", "/total_cents/0", "/order_id/x"])
    return _refer(dice, plan["steps"][-1], {"$from": "s0", "path": path})


def _no_pointer(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    return _refer(dice, plan["steps"][-1], {"$from": "s0", "path": dice.choice(["order_id", "$.order_id", " /x"])})


def _odd_reference(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    odd: list[Document] = [{"$from": 7}, {"$from": "s0", "path": 7}, {"$from": "s0", "then": 1}, {"$from": ["s0"]}]
    return _refer(dice, plan["steps"][-1], dice.choice(odd))


def _wrong_type_referred(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    args = {"order_id": "1", "amount_cents": {"$from": "s0", "path": "/customer/email"}}
    plan["steps"].append(_added(plan, "pay", **args))
    return plan["steps"][-1]["id"], "/args/amount_cents"


def _template_for_number(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"].append(_added(plan, "pay", order_id="1", amount_cents="{{s0/total_cents}}"))
    return plan["steps"][-1]["id"], "/args/amount_cents"


def _odd_template(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    text = dice.choice(["{{}}", "{{s0 order_id}}", "{{/}}", "{{S0}}", "{{s99/x}}", "a {{s0/nothing}} b"])
    plan["steps"].append(_added(plan, "note", text=text))
    return plan["steps"][-1]["id"], "/args/text"


def _instead_of_all(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"][-1]["args"] = {"$from": "s0", "path": "/customer"}
    return plan["steps"][-1]["id"], "/args"


def _control(dice: random.Random, plan: Document, step: Document) -> tuple[str, str]:
    step["why"] = "a" + dice.choice(["\x00", "\x1b[2J", "\x7f", "\x08"])
    return "", f"/steps/{plan['steps'].index(step)}/why"


def _large_integer(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"].append(
        _added(plan, "pay", order_id="1", amount_cents=dice.choice([1, -1]) * 2 ** dice.randrange(53, 300))
    )
    return "", f"/steps/{len(plan['steps']) - 1}/args/amount_cents"


def _deep(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    value: Json = "end"
    for _ in range(dice.randrange(33, 55)):
        value = [value] if dice.random() < 0.5 else {"a": value}
    plan["steps"].append(_added(plan, "note", text=value))
    return "", f"/steps/{len(plan['steps']) - 1}/args/text"


def _too_many(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["steps"] += [_call(f"m{number}", "look_up", order_id="1") for number in range(dice.randrange(201, 400))]
    return "", "/steps"


def _confidence(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["confidence"] = dice.choice([2, -0.1, "high", [1], True])
    return "", "/confidence"


def _finish(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["finish"] = dice.choice([7, {}, {"answer": 7}, {"answer": "x", "more": 1}, "done", [1]])
    return "", "/finish"


def _answer(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["finish"] = {"answer": dice.choice(["{{s99/x}}", "{{}}", "{{s0/nothing}}", "{{s0/customer}}"])}
    return "", "/finish/answer"


def _asks_too(_dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    plan["ask"] = "or shall I?"
    return "", "/ask"


def _top_field(dice: random.Random, plan: Document, _step: Document) -> tuple[str, str]:
    field = dice.choice(["approved", "Steps", "tool", "system"])
    plan[field] = True
    return "", f"/{field}"


def _refer(dice: random.Random, step: Document, value: Document) -> tuple[str, str]:
    name = dice.choice([name for name in step["args"] if name in ("order_id", "text", "to")])
    step["args"][name] = value
    return step["id"], f"/args/{name}"


def _added(plan: Document, tool: str, **args: Json) -> Document:
    return _call(f"x{len(plan['steps'])}", tool, **args)


MUTATIONS: dict[str, Mutation] = {
    one.__name__.strip("_"): one
    for one in (
        _type_of_field,
        _type_of_argument,
        _missing_argument,
        _unknown_argument,
        _unknown_tool,
        _unknown_field,
        _bad_id,
        _same_id,
        _reserved_id,
        _cycle,
        _itself,
        _unknown_step,
        _dangling,
        _no_such_path,
        _no_pointer,
        _odd_reference,
        _wrong_type_referred,
        _template_for_number,
        _odd_template,
        _instead_of_all,
        _control,
        _large_integer,
        _deep,
        _too_many,
        _confidence,
        _finish,
        _answer,
        _asks_too,
        _top_field,
    )
}

# ------------------------------------------------------------------------------------------------- no plan at all

_HEAD, _TAIL = '{"steps": [{"id": "s1", "tool": "pay", "args": {"order_id": "1", "amount_cents": ', "}}]}"


def _cut(dice: random.Random) -> str:
    whole = _dump(good(dice))
    return whole[: dice.randrange(1, len(whole) - 1)]


def _noise(dice: random.Random) -> str:
    return "".join(dice.choice('lorem ipsum {}[]",:0\n\\\u00e9\u202e\x00') for _ in range(dice.randrange(200)))


def _two(dice: random.Random) -> str:
    return _dump(good(dice)) + _dump(good(dice))


def _fenced(dice: random.Random) -> str:
    return dice.choice(["Sure! Here is the plan: ", "// plan\n", "\ufeff"]) + _dump(good(dice))


def _top_level(dice: random.Random) -> str:
    return json.dumps(dice.choice([None, True, 7, "plan", [], [good(dice)], {}, {"plan": good(dice)}]))


def _no_number(dice: random.Random) -> str:
    return _HEAD + dice.choice(["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000, "0x10", "01", "-", "+1"]) + _TAIL


def _twice_a_key(dice: random.Random) -> str:
    return _dump(good(dice)).replace('"tool":', '"tool": "look_up", "tool":', 1)


def _endless(dice: random.Random) -> str:
    levels = dice.choice([65, 500, 5_000, 50_000])
    return _HEAD + "[" * levels + "]" * levels + _TAIL


def _surrogate(dice: random.Random) -> str:
    return _HEAD + dice.choice(['"\\ud800"', '"a\\udfff"', '{"\\ud800": 1}']) + _TAIL


def _nothing(dice: random.Random) -> str:
    return dice.choice(["", " ", "\n", "{}", '{"steps": []}', '{"ask": " "}', '{"ask": ""}', "```json\n```", "\ufeff"])


def _wide(dice: random.Random) -> str:
    args = {f"a{number}": "x" * dice.randrange(50) for number in range(2_000)}
    return json.dumps({"steps": [{"id": "s1", "tool": "pay", "args": args}]})


def _large(dice: random.Random) -> str:
    text = "x" * dice.choice([600_000, 900_000, 1_100_000])
    return json.dumps({"steps": [{"id": "s1", "tool": "note", "args": {"text": text}}]})


_MAKERS: tuple[Callable[[random.Random], str], ...] = (
    _cut,
    _noise,
    _two,
    _fenced,
    _top_level,
    _no_number,
    _twice_a_key,
    _endless,
    _surrogate,
    _nothing,
    _wide,
    _large,
)
NO_PLANS = {one.__name__.strip("_"): one for one in _MAKERS}
