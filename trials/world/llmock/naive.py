"""The naive way: the vendors' SDKs as they come, with their own retries, one call for each fault."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from trials.results import Figure
from trials.world.llmock.attempts import goal
from trials.world.llmock.cases import Case
from trials.world.llmock.faults import TIMEOUT_S
from trials.world.llmock.mocking import mocking
from trials.world.llmock.route import Api

_AT_ONCE = 8
_KEY = "of-the-trial"


async def naive_ways(chosen: Sequence[Case]) -> Sequence[Figure]:
    """Ask once for each case, and say what came."""
    async with mocking() as mock, _sdks(mock.url) as sdks:
        await mock.script(*(behavior for case in chosen for behavior in case.script()))
        turn = asyncio.Semaphore(_AT_ONCE)
        outcomes = await asyncio.gather(*(_outcome(sdks, case, turn) for case in chosen))
        requests, verdict = len(await mock.requests()), await mock.verdict()
    others = Counter(one for one in outcomes if one != "a plan")
    findings = sorted({f"{one['severity']} {one['code']}" for one in verdict["findings"]})
    return [
        Figure(
            name="llmock, the SDKs as they come: calls that bring a plan",
            measured=f"{outcomes.count('a plan')} of {len(outcomes)}",
            note=", ".join(f"{count} {name}" for name, count in others.most_common()),
        ),
        Figure(
            name="llmock, the SDKs as they come: requests that a caller does not see",
            measured=f"{requests - len(outcomes)} besides its {len(outcomes)} calls",
            note=f"llmock's verdict: {', '.join(findings) or 'no findings'}",
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Sdks:
    openai: AsyncOpenAI
    anthropic: AsyncAnthropic


@asynccontextmanager
async def _sdks(url: str) -> AsyncIterator[_Sdks]:
    openai = AsyncOpenAI(api_key=_KEY, base_url=f"{url}/v1", timeout=TIMEOUT_S)
    async with openai, AsyncAnthropic(api_key=_KEY, base_url=f"{url}/anthropic", timeout=TIMEOUT_S) as anthropic:
        yield _Sdks(openai, anthropic)


async def _outcome(sdks: _Sdks, case: Case, turn: asyncio.Semaphore) -> str:
    try:
        async with turn:
            plan = json.loads(await _said(sdks, case))
        tools = {step["tool"] for step in plan["steps"]}
    except Exception as error:  # noqa: BLE001 - whatever escapes is what its caller has to deal with
        return type(error).__name__
    return "a plan" if tools == {"look"} else "a plan with a tool that is not there"


async def _said(sdks: _Sdks, case: Case) -> str:
    model, wish = case.route[0].name, goal(case.id)
    match case.api:
        case Api.RESPONSES:
            return (await sdks.openai.responses.create(model=model, input=wish)).output_text
        case Api.CHAT:
            chat = await sdks.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": wish}])
            return chat.choices[0].message.content or ""
        case Api.MESSAGES:
            said = await sdks.anthropic.messages.create(
                model=model, max_tokens=500, messages=[{"role": "user", "content": wish}]
            )
            return "".join(block.text for block in said.content if block.type == "text")
