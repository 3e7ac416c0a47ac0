"""Runs a function of a tool file: `async def` on the event loop, plain `def` in a thread."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tools.arguments import BadSignature

Function = Callable[..., Any]


class ToolStopped(Exception):
    """A tool called `sys.exit` or let a StopIteration escape; either would stop or hang the worker."""


async def invoke(function: Function, *args: Any, **kwargs: Any) -> Any:
    """Call a function and wait for its result. What it raises is passed on, apart from what would stop the worker."""
    if inspect.iscoroutinefunction(function):
        return await _guarded(function(*args, **kwargs))
    result = await asyncio.to_thread(_call, function, args, kwargs)
    return await _guarded(result) if inspect.isawaitable(result) else result


async def _guarded(awaitable: Any) -> Any:
    try:
        return await awaitable
    except SystemExit as error:
        raise ToolStopped(f"the tool called sys.exit({error.code!r})") from error
    except KeyboardInterrupt as error:  # a real Ctrl-C is a signal that the worker handles; this one is the tool's
        raise ToolStopped("the tool raised KeyboardInterrupt") from error


def _call(function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except (SystemExit, StopIteration, KeyboardInterrupt) as error:  # no future carries these
        raise ToolStopped(f"the tool let {type(error).__name__}({error}) escape") from error


def place_of(function: Function) -> str:
    """Say where a function is written: ``file:line``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def reject_generators(function: Function) -> None:
    """Raise BadSignature for a function that yields."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadSignature("it yields; a tool returns one value")
