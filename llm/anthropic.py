"""A model of Anthropic, by the official SDK and the Messages API with structured outputs (``output_config.format``).

The plan comes as text, never as the input of a tool: a tool's input that is no JSON surfaces as ``{}``, which looks
valid (measured). The SDK sends once: its own retries are off. The answer is read here and not by the SDK, which takes
any body for valid.
"""

import asyncio
import time
from datetime import timedelta

import httpx2
from anthropic import AnthropicError, APIConnectionError, APIStatusError, AsyncAnthropic
from pydantic import NonNegativeInt, ValidationError

from core.briefing import Prompt
from core.errors import PlannerDown
from core.ports import Reply
from core.record import Record
from core.spending import Usage
from llm.answers import Answer, cut_off, other_kind, refused, reply_to
from llm.prompt import Rendered, render
from llm.sorting import Endpoint, Trouble, no_answer, no_time, quote, sort_status
from llm.wire import Fault, plan_schema


class AnthropicPlanner:
    """One model.

    ``model``: its name at the provider. ``timeout``: for the whole answer; afterwards the provider counts as busy.
    """

    def __init__(self, client: AsyncAnthropic, model: str, endpoint: Endpoint, *, timeout: timedelta) -> None:
        self._client = client
        self._model = model
        self._endpoint = endpoint
        self._timeout = timeout

    async def propose(self, prompt: Prompt) -> Reply:
        started = time.monotonic()
        try:
            # the SDK's own time-out counts from byte to byte, so an answer that drips would never end
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await self._ask(render(prompt), prompt.max_output_tokens)
        except TimeoutError as error:
            raise no_time(self._endpoint, self._timeout) from error
        except APIStatusError as error:
            trouble = Trouble.of(error.status_code, error.type, error.api_message)
            raise sort_status(self._endpoint, trouble, error.response.headers) from error
        except (APIConnectionError, httpx2.HTTPError, ValidationError) as error:
            raise no_answer(self._endpoint, error) from error
        except AnthropicError as error:
            raise PlannerDown(f"{self._endpoint.model}: the SDK refused the call: {quote(str(error))}") from error
        return reply_to(answer, self._endpoint, started=started)

    async def _ask(self, rendered: Rendered, max_output_tokens: int) -> Answer:
        raw = await self._client.messages.with_raw_response.create(
            model=self._model,
            system=[{"type": "text", "text": rendered.stable, "cache_control": {"type": "ephemeral"}}],
            messages=[{"role": "user", "content": rendered.variable}],
            output_config={"format": {"type": "json_schema", "schema": plan_schema(bounded=False)}},
            max_tokens=max_output_tokens,
        )
        body = _Body.model_validate_json(await raw.read())
        return Answer(outcome=body.outcome(max_output_tokens), usage=body.counted(), id=raw.request_id or body.id)


class _Block(Record):
    type: str
    text: str = ""


class _Stop(Record):
    explanation: str | None = None


class _Usage(Record):
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    cache_creation_input_tokens: NonNegativeInt | None = None
    cache_read_input_tokens: NonNegativeInt | None = None


class _Body(Record):
    """The body of an answer, as far as it is read here."""

    id: str = ""
    content: tuple[_Block, ...]
    stop_reason: str | None = None
    stop_details: _Stop | None = None
    usage: _Usage | None = None

    def outcome(self, max_output_tokens: int) -> str | Fault:
        match self.stop_reason:
            case "max_tokens" | "model_context_window_exceeded":
                return cut_off(max_output_tokens)
            case "refusal":
                return refused((self.stop_details and self.stop_details.explanation) or "")
            case _:
                return self._text()

    def counted(self) -> Usage:
        """Count all input as input: here, unlike at OpenAI, what was cached is not part of `input_tokens`."""
        usage = self.usage or _Usage()
        cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        return Usage(
            input_tokens=usage.input_tokens + cached + written,
            output_tokens=usage.output_tokens,
            cached_tokens=cached,
            written_tokens=written,
        )

    def _text(self) -> str | Fault:
        called = next((block.type for block in self.content if block.type.endswith("tool_use")), None)
        if called is not None:
            return other_kind(called)
        return "".join(block.text for block in self.content if block.type == "text")
