"""The naive way beside the trial of models: the vendors' SDKs as they come, one call each, whose answer is JSON."""

import asyncio
import json
from collections.abc import Sequence

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from trials.world.model_faults import TIMEOUT, Case

_ASKED = "Plan how to look."


async def naive_outcomes(origin: str, wanted: Sequence[Case]) -> list[str]:
    """Return for each case: planned, or the name of what went wrong."""
    openai = AsyncOpenAI(api_key="none-needed", base_url=f"{origin}/v1", timeout=TIMEOUT)
    anthropic = AsyncAnthropic(api_key="none-needed", base_url=f"{origin}/anthropic", timeout=TIMEOUT)
    try:
        return await asyncio.gather(*(_outcome(openai, anthropic, case) for case in wanted))
    finally:
        await openai.close()
        await anthropic.close()


async def _outcome(openai: AsyncOpenAI, anthropic: AsyncAnthropic, case: Case) -> str:
    try:
        plan = json.loads(await _asked(openai, anthropic, case))
        named = {step["tool"] for step in plan["steps"]}
    except Exception as error:  # noqa: BLE001 - whatever comes is the answer
        return type(error).__name__
    return "planned" if named == {"look"} else f"unknown tool {named}"


async def _asked(openai: AsyncOpenAI, anthropic: AsyncAnthropic, case: Case) -> str:
    asked = f"{_ASKED} {case.model}"
    match case.api:
        case "responses":
            return (await openai.responses.create(model=case.model, input=asked)).output_text
        case "chat":
            messages = [{"role": "user", "content": asked}]
            chat = await openai.chat.completions.create(model=case.model, messages=messages)  # type: ignore[arg-type] # plain dicts will do
            return chat.choices[0].message.content or ""
        case _:
            said = await anthropic.messages.create(
                model=case.model, max_tokens=500, messages=[{"role": "user", "content": asked}]
            )
            return "".join(block.text for block in said.content if block.type == "text")
