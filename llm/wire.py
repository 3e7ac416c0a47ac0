"""The plan as it travels to and from a vendor: one fixed schema, and the decoding of what comes back.

`args` travels as a string that holds a JSON object, because free-form arguments cannot be expressed in the vendors'
strict modes. Nothing here judges a plan; `check_plan` in the core is the authority.
"""

import json
import math
from typing import Any, NoReturn

from core.record import Json, Record

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
_MAX_DIGITS = 400
_MAX_FAULTS = 20


class Fault(Record):
    """Why there is no document, in words for the model."""

    words: str


class NotJson(ValueError):
    """A text is not the JSON that we take; the message says what and where."""


def plan_schema(*, bounded: bool) -> dict[str, Json]:
    """Write the JSON schema of a plan on the wire; every property is required and nothing else is allowed.

    ``bounded``: with maxLength, maxItems, minimum and maximum. OpenAI's strict mode takes them except for fine-tuned
    models (Structured Outputs guide, "supported schemas"), llama.cpp needs them against endless strings. Anthropic's
    structured outputs refuse them ("JSON schema limitations").
    """
    step = {
        "id": _text(
            "Short name of the step, such as s1: a small letter, then small letters, digits and _.", 32, bounded
        ),
        "tool": _text("Name of a tool of the catalogue.", 128, bounded),
        "why": _text("What the step is for, in one sentence.", 500, bounded),
        "args": _text("The arguments: a string that holds one JSON object.", 8000, bounded),
        "after": _list(_text("Id of a step.", 64, bounded), "Steps to wait for where no data flows.", bounded),
        "repeat_of": _or_null(_text("The done step whose effect is wanted a second time, on purpose.", 64, bounded)),
    }
    confidence = {"type": "number", "description": "How sure you are that the plan is right, from 0 to 1."}
    return _object(
        {
            "steps": _list(_object(step), "The steps; empty for a question or a mere answer.", bounded),
            "finish": _or_null(_object({"answer": _text("The answer, once all steps have succeeded.", 2000, bounded)})),
            "ask": _or_null(_text("A question to a person.", 2000, bounded)),
            "confidence": confidence | ({"minimum": 0, "maximum": 1} if bounded else {}),
        }
    )


def decode(text: str) -> dict[str, Json] | Fault:
    """Decode an answer into a plan document: `args` become objects.

    Takes any text and never raises; what is wrong is said at once, for all steps.
    """
    if not text.strip():
        return Fault(words="the answer was empty; answer with one JSON object")
    try:
        plan = parse(text)
    except NotJson as error:
        return Fault(words=f"the answer is not JSON: {error}; answer with one JSON object and nothing else")
    if not isinstance(plan, dict):
        return Fault(words=f"the answer is JSON but {_kind(plan)}; answer with one JSON object")
    faults: list[str] = []
    if isinstance(plan.get("steps"), list):
        plan["steps"] = [_decode_step(step, number, faults) for number, step in enumerate(plan["steps"], start=1)]
    return Fault(words="; ".join(faults[:_MAX_FAULTS])) if faults else plan


def parse(text: str, max_bytes: int = MAX_BYTES) -> Json:
    """Parse JSON strictly (RFC 8259 without its loopholes): no NaN, no infinity, no duplicate key, no lone surrogate.

    Raises NotJson, also when the text is longer than `max_bytes` (of UTF-8) or nested deeper than 64 levels.
    """
    if len(text) > max_bytes or len(text.encode(errors="replace")) > max_bytes:
        raise NotJson(f"it is longer than {max_bytes} bytes")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeEncodeError as error:
        raise NotJson("a string holds half of a surrogate pair") from error
    return value


def _decode_step(step: Json, number: int, faults: list[str]) -> Json:
    if not isinstance(step, dict) or not isinstance(step.get("args"), str):
        return step
    args = _decode_args(step["args"])
    if isinstance(args, Fault):
        faults.append(f"step {number} ({str(step.get('id'))[:32]}): {args.words}")
        return step
    return step | {"args": args}


def _decode_args(text: str) -> dict[str, Json] | Fault:
    try:
        args = parse(text)
    except NotJson as error:
        return Fault(words=f"args must be a string that holds a JSON object, but it is not JSON: {error}")
    if not isinstance(args, dict):
        return Fault(words=f"args must be a string that holds a JSON object, but it holds {_kind(args)}")
    return args


def _check_depth(text: str) -> None:
    # before json.loads, which answers deep nesting with RecursionError
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels")
        elif char in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"the key {json.dumps(twice[:64])} stands twice in one object")
    return result


def _refuse_constant(constant: str) -> NoReturn:
    raise NotJson(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotJson(f"the number {digits[:32]} is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise NotJson(f"an integer has {len(digits)} digits")
    return int(digits)


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return "a number"


def _text(description: str, max_length: int, bounded: bool) -> dict[str, Any]:
    return {"type": "string", "description": description} | ({"maxLength": max_length} if bounded else {})


def _list(items: dict[str, Any], description: str, bounded: bool) -> dict[str, Any]:
    return {"type": "array", "description": description, "items": items} | ({"maxItems": 100} if bounded else {})


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
