"""OpenAI's chat completions: how a plan is asked for, and how the answer is read. Most other servers speak this one."""

from openai import AsyncOpenAI, Omit
from pydantic import Field, NonNegativeInt

from core.record import Json, Record
from core.spending import Usage
from llm.answers import Answer, cut_off, other_kind, refused
from llm.openai_responses import schema_for
from llm.prompt import Rendered
from llm.wire import Fault


async def ask(
    client: AsyncOpenAI, model: str, rendered: Rendered, max_output_tokens: int, cache_key: str | Omit
) -> Answer:
    """Send one request and read its answer. Raises what the SDK raises, and ValidationError for a malformed body."""
    raw = await client.chat.completions.with_raw_response.create(
        model=model,
        messages=[
            {"role": "system", "content": rendered.stable},
            {"role": "user", "content": rendered.variable},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "plan", "strict": True, "schema": schema_for(model)},
        },
        max_completion_tokens=max_output_tokens,
        prompt_cache_key=cache_key,
    )
    body = _Body.model_validate_json(raw.content)
    return Answer(outcome=body.outcome(max_output_tokens), usage=body.counted(), id=raw.request_id or body.id)


class _Message(Record):
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[Json, ...] | None = None


class _Choice(Record):
    message: _Message
    finish_reason: str | None = None


class _Cached(Record):
    cached_tokens: NonNegativeInt | None = None


class _Usage(Record):
    prompt_tokens: NonNegativeInt = 0
    completion_tokens: NonNegativeInt = 0
    prompt_tokens_details: _Cached | None = None


class _Body(Record):
    """The body of an answer, as far as it is read here."""

    id: str = ""
    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: _Usage | None = None

    def outcome(self, max_output_tokens: int) -> str | Fault:
        choice = self.choices[0]
        if choice.message.refusal:
            return refused(choice.message.refusal)
        match choice.finish_reason:
            case "length":
                return cut_off(max_output_tokens)
            case "content_filter":
                return refused("content filter")
            case "tool_calls" | "function_call":
                return other_kind("tool call")
            case _ if choice.message.tool_calls:
                return other_kind("tool call")
            case _:
                return choice.message.content or ""

    def counted(self) -> Usage:
        usage = self.usage or _Usage()
        details = usage.prompt_tokens_details or _Cached()
        return Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=details.cached_tokens or 0,
        )
