"""The models of the trial, by the three interfaces of both vendors, and how lastmile.toml says where they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Api(StrEnum):
    """What llmock is asked by."""

    RESPONSES = "responses"
    CHAT = "chat"
    MESSAGES = "messages"

    @property
    def other_vendors(self) -> "Api":
        """Name an interface of the other vendor."""
        return Api.RESPONSES if self is Api.MESSAGES else Api.MESSAGES


@dataclass(frozen=True, slots=True)
class Model:
    """One model. ``name``: at its vendor; ``timeout_s``: seconds for one whole answer.

    ``provider``: whose circuit breaker it shares; "" = that of all models of its vendor.
    """

    name: str
    api: Api
    timeout_s: float
    provider: str = ""

    @property
    def full(self) -> str:
        """Name it as a route does."""
        return f"{'anthropic' if self.api is Api.MESSAGES else 'openai'}:{self.name}"

    def table(self, url: str) -> str:
        """Write its table of lastmile.toml, for llmock at `url`."""
        path = 'base_url = "{}/anthropic"' if self.api is Api.MESSAGES else f'api = "{self.api}"\nbase_url = "{{}}/v1"'
        lines = [f'[models."{self.full}"]', path.format(url), f'timeout = "{self.timeout_s:g}s"']
        return "\n".join([*lines, *([f'provider = "{self.provider}"'] if self.provider else [])])


def line(route: Sequence[Model]) -> str:
    """Write the line of agent.toml."""
    return f"models = {json.dumps([model.full for model in route])}"
