"""What a planner may write that is no plan: generated from a seed, each one certain to be refused."""

import json
import random
from collections.abc import Callable, Iterator

from core.record import Json

Maker = Callable[[random.Random], str]


def malformed(count: int, seed: int) -> Iterator[str]:
    """Yield replies; every kind comes up before any comes again."""
    dice = random.Random(seed)
    for number in range(count):
        yield KINDS[number % len(KINDS)](dice)


def _pay(step_id: str = "s1", **fields: Json) -> dict[str, Json]:
    return {"id": step_id, "tool": "pay", "args": {"order_id": "1", "amount": 5}, "why": "x", **fields}


def _plan(*steps: Json, **fields: Json) -> str:
    return json.dumps({"steps": steps, "finish": {"answer": "done"}, **fields})


def _words(dice: random.Random) -> str:
    return "".join(dice.choice('lorem ipsum {}[]",:0\n\\\u00e9\u202e') for _ in range(dice.randrange(200)))


def _cut(dice: random.Random) -> str:
    whole = _plan(_pay())
    return whole[: dice.randrange(1, len(whole) - 1)]


def _two(_dice: random.Random) -> str:
    return _plan(_pay()) + _plan(_pay("s2"))


def _wrong_type(dice: random.Random) -> str:
    other = dice.choice([7, "x", True, [1], 1.5])
    where = dice.choice(["steps", "finish", "args", "id", "tool", "after", "confidence"])
    if where in ("steps", "finish"):
        return json.dumps({"steps": [_pay()], "finish": {"answer": "done"}, where: other if where == "finish" else 7})
    if where == "confidence":
        return _plan(_pay(), confidence=dice.choice(["high", 2, -1, [0.5]]))
    return _plan({**_pay(), where: 7})


def _top_level(dice: random.Random) -> str:
    return json.dumps(dice.choice([None, True, 7, "plan", [], [[_pay()]], {}, {"plan": {"steps": [_pay()]}}]))


def _unknown_tool(dice: random.Random) -> str:
    return _plan(_pay(tool=dice.choice(["rm", "pay ", "PAY", "", "open_task", "../pay", "pay.undo", "p\u0430y"])))


def _unknown_args(dice: random.Random) -> str:
    given: list[dict[str, Json]] = [{}, {"order_id": "1"}, {"order_id": 1, "amount": 5}, {"amount": "5"}]
    args = dice.choice(given)
    return _plan(_pay(args={**args, "key": "mine"}))


def _cycle(dice: random.Random) -> str:
    length = dice.randrange(2, 8)
    return _plan(*(_pay(f"s{n}", after=[f"s{(n + 1) % length}"]) for n in range(length)))


def _dangling(dice: random.Random) -> str:
    source = dice.choice(["s9", "r7.s1", "s1", "", "S1", "outputs", "r1.inputs"])
    reference = dice.choice([{"$from": source, "path": "/x"}, {"$from": source}, {"$from": "inputs", "path": "x"}])
    return _plan(_pay(args={"order_id": reference, "amount": {"$from": "s8", "path": 7}}))


def _template(dice: random.Random) -> str:
    return _plan(_pay(args={"order_id": dice.choice(["{{s7/a}}", "{{}}", "{{s1}} {{/}}", "{{S!}}"]), "amount": 5}))


def _deep(dice: random.Random) -> str:
    levels = dice.choice([40, 500, 5_000, 50_000])
    return '{"steps": [{"id": "s1", "tool": "pay", "args": {"order_id": ' + "[" * levels + "]" * levels + "}}]}"


def _no_number(dice: random.Random) -> str:
    number = dice.choice(["NaN", "Infinity", "-Infinity", "1e999", str(2**64), "9" * 5_000, "0x10", "01", "-"])
    return '{"steps": [{"id": "s1", "tool": "pay", "args": {"order_id": "1", "amount": ' + number + "}}]}"


def _same_ids(dice: random.Random) -> str:
    return _plan(*[_pay(dice.choice(["s1", "inputs"]))] * 2)


def _bad_id(dice: random.Random) -> str:
    return _plan(_pay(dice.choice(["", "S1", "1", "a b", "s" * 40, "r1.s1", "s1\n", "\u0455"])))


def _controls(dice: random.Random) -> str:
    return _plan(_pay(why=dice.choice(["\x00", "a\x1bb", "\x7f", "\ud800", "\u0008"])))


def _thousand(dice: random.Random) -> str:
    return _plan(*(_pay(f"s{n}") for n in range(dice.randrange(900, 1_100))))


def _double(_dice: random.Random) -> str:
    return _plan(_pay(), ask="or shall I?")


def _nothing(dice: random.Random) -> str:
    return dice.choice(["", " ", "\n", "null", "{}", '{"steps": []}', '{"ask": " "}', "```json\n```", "\ufeff"])


def _wide(dice: random.Random) -> str:
    return _plan(_pay(args={f"a{n}": "x" * dice.randrange(50) for n in range(2_000)}))


def _large(_dice: random.Random) -> str:
    return _plan(_pay(args={"order_id": "x" * 600_000, "amount": 5}))


KINDS: tuple[Maker, ...] = (
    _words,
    _cut,
    _two,
    _wrong_type,
    _top_level,
    _unknown_tool,
    _unknown_args,
    _cycle,
    _dangling,
    _template,
    _deep,
    _no_number,
    _same_ids,
    _bad_id,
    _controls,
    _thousand,
    _double,
    _nothing,
    _wide,
    _large,
)
