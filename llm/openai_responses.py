"""OpenAI's Responses API: how a plan is asked for, and how the answer is read."""

from openai import AsyncOpenAI, Omit
from pydantic import NonNegativeInt

from core.record import Record
from core.spending import Usage
from llm.answers import Answer, cut_off, other_kind, refused
from llm.prompt import Rendered
from llm.sorting import Trouble
from llm.wire import Fault, plan_schema

_PASSING = frozenset({"server_error", "rate_limit_exceeded"})
_UNAVAILABLE = 503


async def ask(
    client: AsyncOpenAI, model: str, rendered: Rendered, max_output_tokens: int, cache_key: str | Omit
) -> Answer:
    """Send one request and read its answer. Raises what the SDK raises, and ValidationError for a malformed body."""
    raw = await client.responses.with_raw_response.create(
        model=model,
        instructions=rendered.stable,
        input=rendered.variable,
        text={"format": {"type": "json_schema", "name": "plan", "strict": True, "schema": schema_for(model)}},
        max_output_tokens=max_output_tokens,
        prompt_cache_key=cache_key,
        store=False,
    )
    body = _Body.model_validate_json(raw.content)
    return Answer(outcome=body.outcome(max_output_tokens), usage=body.counted(), id=raw.request_id or body.id)


def schema_for(model: str) -> dict[str, object]:
    """Choose the schema that a model of OpenAI takes: fine-tuned ones (``ft:``) take no bounds."""
    return plan_schema(bounded=not model.startswith("ft:"))


class _Part(Record):
    type: str
    text: str = ""
    refusal: str = ""


class _Item(Record):
    type: str
    content: tuple[_Part, ...] | None = None


class _Error(Record):
    code: str | None = None
    message: str | None = None


class _Incomplete(Record):
    reason: str | None = None


class _Cached(Record):
    cached_tokens: NonNegativeInt | None = None


class _Usage(Record):
    input_tokens: NonNegativeInt = 0
    output_tokens: NonNegativeInt = 0
    input_tokens_details: _Cached | None = None


class _Body(Record):
    """The body of an answer, as far as it is read here; servers other than OpenAI leave much of it out."""

    id: str = ""
    status: str | None = None
    output: tuple[_Item, ...]
    error: _Error | None = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None

    def outcome(self, max_output_tokens: int) -> str | Fault | Trouble:
        match self.status:
            case "failed":
                return self._failure()
            case "incomplete":
                return self._incomplete(max_output_tokens)
            case "cancelled" | "queued" | "in_progress":
                return Trouble(status=_UNAVAILABLE, message=f"the answer was {self.status}")
            case _:
                return self._text()

    def counted(self) -> Usage:
        usage = self.usage or _Usage()
        details = usage.input_tokens_details or _Cached()
        return Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=details.cached_tokens or 0,
        )

    def _failure(self) -> Fault | Trouble:
        error = self.error or _Error()
        if error.code in _PASSING or error.code is None:
            return Trouble(status=_UNAVAILABLE, code=error.code or "", message=error.message or "the answer failed")
        return refused(f"{error.code}: {error.message or ''}")

    def _incomplete(self, max_output_tokens: int) -> Fault:
        reason = self.incomplete_details and self.incomplete_details.reason
        return refused("content filter") if reason == "content_filter" else cut_off(max_output_tokens)

    def _text(self) -> str | Fault:
        parts = [part for item in self.output if item.type == "message" for part in item.content or ()]
        refusal = next((part for part in parts if part.type == "refusal"), None)
        if refusal is not None:
            return refused(refusal.refusal)
        called = next((item.type for item in self.output if item.type.endswith("_call")), None)
        if called is not None:
            return other_kind(called)
        return "".join(part.text for part in parts if part.type == "output_text")
