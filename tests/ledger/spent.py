"""What the tests of model calls share, and a process that spends: ``python -m tests.ledger.spent URL NAME``."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from core.receipts import Line
from core.spending import CallEnd, CallState, Cap, ModelCall, Scope, Usage
from ledger import open_ledger

TRIES = 30


def model_call(call_id: str = "c1", **changes: Any) -> ModelCall:
    given: dict[str, Any] = {
        "id": call_id,
        "task_id": "refund-1",
        "chain": "run-1",
        "agent": "support_desk",
        "tenant": "acme",
        "model": "openai:m",
        "provider": "openai",
        "purpose": "plan",
        "tokens": 100,
        "micro_usd": 1_000,
    }
    return ModelCall(**(given | changes))


def said(task_id: str = "refund-1") -> Line:
    return Line(task_id=task_id, at=datetime(2026, 3, 1, tzinfo=UTC), event="plan.proposed")


def took(input_tokens: int = 60, output_tokens: int = 10, **changes: Any) -> CallEnd:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=changes.pop("cached", 0))
    given: dict[str, Any] = {"state": CallState.ANSWERED, "usage": usage, "micro_usd": 700, "is_outage": False}
    return CallEnd(**(given | changes))


async def spend(url: str, name: str) -> None:
    """Reserve calls of several agents of one tenant, as fast as they go, and settle every second one at less."""
    caps = [Cap(scope=Scope.AGENT, tokens=1_000), Cap(scope=Scope.TENANT, micro_usd=15_000)]

    async def one(number: int) -> str:
        call = model_call(f"{name}-{number}", agent=f"agent-{number % 3}", provider="")
        admission = await ledger.reserve_call(call, caps)
        if number % 2 and type(admission).__name__ == "Admitted":
            await ledger.settle_call(call.id, took(40, 10, micro_usd=500), said())
        return type(admission).__name__

    async with open_ledger(url) as ledger:
        names = await asyncio.gather(*(one(number) for number in range(TRIES)))
    print(*(f"{kind}={count}" for kind, count in Counter(names).items()))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(spend(sys.argv[1], sys.argv[2]))
