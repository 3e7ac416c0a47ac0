"""A model of OpenAI, or of any server that speaks its protocol, by the official SDK.

The SDK builds and sends the request, once: its own retries are off. The answer is read here and not by the SDK, which
takes any body for valid (a field that is missing surfaces later, as AttributeError).
"""

import asyncio
import time
from datetime import timedelta
from typing import Literal, assert_never

import httpx2
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, OpenAIError, omit
from pydantic import ValidationError

from core.briefing import Prompt
from core.errors import PlannerDown
from core.ports import Reply
from llm import openai_chat, openai_responses
from llm.answers import Answer, reply_to
from llm.prompt import render
from llm.sorting import Endpoint, Trouble, no_answer, no_time, quote, sort_status

Api = Literal["responses", "chat"]
"""Which of OpenAI's two interfaces a server is asked by."""


class OpenAIPlanner:
    """One model.

    ``model``: its name at the provider. ``timeout``: for the whole answer; afterwards the provider counts as busy.
    ``has_cache_key``: whether to name the stable part of the prompt, so that calls which share it meet in one cache.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        endpoint: Endpoint,
        *,
        api: Api,
        timeout: timedelta,
        has_cache_key: bool = False,
    ) -> None:
        self._client = client
        self._model = model
        self._endpoint = endpoint
        self._api = api
        self._timeout = timeout
        self._has_cache_key = has_cache_key

    async def propose(self, prompt: Prompt) -> Reply:
        started = time.monotonic()
        try:
            # the SDK's own time-out counts from byte to byte, so an answer that drips would never end
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await self._ask(prompt)
        except TimeoutError as error:
            raise no_time(self._endpoint, self._timeout) from error
        except APIStatusError as error:
            raise sort_status(self._endpoint, _trouble(error), error.response.headers) from error
        except (APIConnectionError, httpx2.HTTPError, ValidationError) as error:
            raise no_answer(self._endpoint, error) from error
        except OpenAIError as error:
            raise PlannerDown(f"{self._endpoint.model}: the SDK refused the call: {quote(str(error))}") from error
        return reply_to(answer, self._endpoint, started=started)

    async def _ask(self, prompt: Prompt) -> Answer:
        rendered, limit = render(prompt), prompt.max_output_tokens
        key = rendered.cache_key if self._has_cache_key else omit
        match self._api:
            case "responses":
                return await openai_responses.ask(self._client, self._model, rendered, limit, key)
            case "chat":
                return await openai_chat.ask(self._client, self._model, rendered, limit, key)
            case other:
                assert_never(other)


def _trouble(error: APIStatusError) -> Trouble:
    message = error.body.get("message") if isinstance(error.body, dict) else None
    return Trouble.of(error.status_code, error.code or error.type, message)
