"""All language models that a worker can reach, by the name an agent's route gives them.

======================  =========================================================================
``openai:NAME``         OpenAI, or the server at `base_url`
``anthropic:NAME``      Anthropic, or the server at `base_url`
``scripted:PATH``       replies out of a file or a folder (llm.scripted)
======================  =========================================================================
"""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from core.errors import PlannerDown
from core.ports import Planner
from core.record import Record
from llm.anthropic import AnthropicPlanner
from llm.openai import Api, OpenAIPlanner
from llm.scripted import ScriptedPlanner, tools_named
from llm.sorting import Endpoint

OPENAI_KEY, ANTHROPIC_KEY = "OPENAI_API_KEY", "ANTHROPIC_API_KEY"
_OPENAI_URL, _ANTHROPIC_URL = "https://api.openai.com/v1", "https://api.anthropic.com"
_NO_KEY = "none-needed"
_WAITS = httpx2.Timeout(None, connect=3.0)
"""Seconds for a connection: one that is not there after 3 will hardly come. Each planner bounds its whole answer."""


class ModelAccess(Record):
    """How a model is reached. ``base_url``: None means the vendor's own; ``api``: for `openai:` models only.

    ``timeout``: for a whole answer, None = as for all. ``prompt_cache_key``: whether OpenAI's field of this name is
    sent, None = to OpenAI itself, since other servers may refuse it.
    """

    base_url: str | None = None
    api: Api = "responses"
    timeout: timedelta | None = None
    prompt_cache_key: bool | None = None


class Planners:
    """Makes adapters by name; SDK clients are made at first use and shared by the models of one server.

    ``models``: by full name (``openai:NAME``); a model that is not listed is reached at its vendor. ``environ``: where
    the keys are. ``folder``: what relative paths of scripts start from. ``timeout``: for one answer.
    """

    def __init__(
        self,
        *,
        models: Mapping[str, ModelAccess],
        environ: Mapping[str, str],
        folder: Path,
        timeout: timedelta = timedelta(seconds=60),
    ) -> None:
        self._models = models
        self._environ = environ
        self._folder = folder
        self._timeout = timeout
        self._openai: dict[str, AsyncOpenAI] = {}
        self._anthropic: dict[str, AsyncAnthropic] = {}

    def get(self, name: str) -> Planner:
        """Return the adapter of ``provider:name``. Raises PlannerDown when it cannot be used, with the way out."""
        provider, _, model = name.partition(":")
        if not model:
            raise PlannerDown(_no_such(name))
        match provider:
            case "scripted":
                return ScriptedPlanner(self._folder / model)
            case "openai":
                return self._get_openai(name, model)
            case "anthropic":
                return self._get_anthropic(name, model)
            case _:
                raise PlannerDown(_no_such(name))

    def scripts(self, name: str) -> Mapping[Path, Sequence[str]]:
        """Read the scripts of a model, which a real one has none of, and name the tools of each. Raises PlannerDown."""
        provider, _, model = name.partition(":")
        return tools_named(self._folder / model) if provider == "scripted" else {}

    async def aclose(self) -> None:
        """Close the connections; the object is not usable afterwards."""
        for openai in self._openai.values():
            await openai.close()
        for anthropic in self._anthropic.values():
            await anthropic.close()

    def _get_openai(self, name: str, model: str) -> Planner:
        access = self._models.get(name, ModelAccess())
        endpoint = _endpoint(name, _OPENAI_URL if access.base_url is None else access.base_url, OPENAI_KEY)
        if endpoint.url not in self._openai:
            key = self._key(endpoint)
            self._openai[endpoint.url] = AsyncOpenAI(api_key=key, base_url=endpoint.url, timeout=_WAITS, max_retries=0)
        has_key = access.base_url is None if access.prompt_cache_key is None else access.prompt_cache_key
        return OpenAIPlanner(
            self._openai[endpoint.url],
            model,
            endpoint,
            api=access.api,
            timeout=access.timeout or self._timeout,
            has_cache_key=has_key,
        )

    def _get_anthropic(self, name: str, model: str) -> Planner:
        access = self._models.get(name, ModelAccess())
        endpoint = _endpoint(name, _ANTHROPIC_URL if access.base_url is None else access.base_url, ANTHROPIC_KEY)
        if endpoint.url not in self._anthropic:
            key = self._key(endpoint)
            self._anthropic[endpoint.url] = AsyncAnthropic(
                api_key=key, base_url=endpoint.url, timeout=_WAITS, max_retries=0
            )
        timeout = access.timeout or self._timeout
        return AnthropicPlanner(self._anthropic[endpoint.url], model, endpoint, timeout=timeout)

    def _key(self, endpoint: Endpoint) -> str:
        # a line break at the end is what reading a key from a file leaves
        key = self._environ.get(endpoint.key_variable, "").strip()
        if not key and _is_loopback(endpoint.url):
            return _NO_KEY
        if not key:
            raise PlannerDown(f"{endpoint.model}: there is no key; set {endpoint.key_variable}, or use another model")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise PlannerDown(f"{endpoint.model}: {endpoint.key_variable} holds what no key can hold; copy it again")
        return key


def _endpoint(name: str, url: str, key_variable: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise PlannerDown(
            f'{name}: base_url {url!r} under [models."{name}"] is no address; write http://HOST:PORT/v1 or https://...'
        )
    return Endpoint(model=name, url=url, key_variable=key_variable)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _no_such(name: str) -> str:
    return f"there is no model {name[:200]!r}; write openai:NAME, anthropic:NAME or scripted:PATH"
