"""The naive way: the vendors' SDKs as they come, with their own retries, one call for each fault."""

import json
from collections import Counter
from collections.abc import Sequence

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from trials.results import Figure
from trials.world.llmock.faults import Fault
from trials.world.llmock.mocking import mocking
from trials.world.llmock.route import Api, Route

_KEY = "of-the-trial"


async def naive_ways(chosen: Sequence[tuple[Api, Fault]]) -> Sequence[Figure]:
    """Ask once for each fault, one after the other, and say what came."""
    async with mocking() as mock:
        outcomes: list[str] = []
        for api, fault in chosen:
            await mock.clear()
            route = Route(api)
            await mock.script(*fault.script(route.first, route.second))
            outcomes.append(await _outcome(mock.url, api, route.first, fault))
        verdict, requests = await mock.verdict(), len(await mock.requests())
    others = Counter(one for one in outcomes if one != "a plan")
    errors = sorted({one["code"] for one in verdict["findings"]})
    return [
        Figure(
            name="llmock, the SDKs as they come: calls that bring a plan",
            measured=f"{outcomes.count('a plan')} of {len(outcomes)}",
            note=", ".join(f"{count} {name}" for name, count in others.most_common()),
        ),
        Figure(
            name="llmock, the SDKs as they come: requests that a caller does not see",
            measured=f"{requests - len(outcomes)} besides its {len(outcomes)} calls",
            note=f"findings of llmock's verdict: {', '.join(errors) or 'none'}",
        ),
    ]


async def _outcome(url: str, api: Api, model: str, fault: Fault) -> str:
    try:
        plan = json.loads(await _said(url, api, model, f"look, in spite of: {fault.name}"))
        tools = {step["tool"] for step in plan["steps"]}
    except Exception as error:  # noqa: BLE001 - whatever escapes is what its caller has to deal with
        return type(error).__name__
    return "a plan" if tools == {"look"} else "a plan with a tool that is not there"


async def _said(url: str, api: Api, model: str, goal: str) -> str:
    match api:
        case Api.RESPONSES:
            async with AsyncOpenAI(api_key=_KEY, base_url=f"{url}/v1") as sdk:
                return (await sdk.responses.create(model=model, input=goal)).output_text
        case Api.CHAT:
            async with AsyncOpenAI(api_key=_KEY, base_url=f"{url}/v1") as sdk:
                chat = await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": goal}])
                return chat.choices[0].message.content or ""
        case Api.MESSAGES:
            async with AsyncAnthropic(api_key=_KEY, base_url=f"{url}/anthropic") as sdk:
                said = await sdk.messages.create(
                    model=model, max_tokens=500, messages=[{"role": "user", "content": goal}]
                )
                return "".join(block.text for block in said.content if block.type == "text")
