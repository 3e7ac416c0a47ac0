"""The interfaces of both vendors, each first in a route of its own, with the other vendor's model behind it."""

from dataclasses import dataclass
from enum import StrEnum


class Api(StrEnum):
    """What llmock is asked by."""

    RESPONSES = "responses"
    CHAT = "chat"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Route:
    """Two models in a row: `first` gets the faults, `second` is there when the first one is given up."""

    api: Api

    @property
    def first(self) -> str:
        """Name the model at its vendor."""
        return f"mock-{self.api}"

    @property
    def second(self) -> str:
        """Name the other one."""
        return "mock-responses-behind" if self.api is Api.MESSAGES else "mock-messages-behind"

    def line(self) -> str:
        """Write the line of agent.toml."""
        return f'models = ["{_full(self.first)}", "{_full(self.second)}"]'

    def tables(self, url: str) -> str:
        """Write the tables of lastmile.toml, for llmock at `url`."""
        return f"{_table(self.first, url)}\n{_table(self.second, url)}"


def api_of(model: str) -> Api:
    """Say by which interface a model of ours is asked."""
    return next(api for api in Api if api in model)


def _full(model: str) -> str:
    return f"{'anthropic' if api_of(model) is Api.MESSAGES else 'openai'}:{model}"


def _table(model: str, url: str) -> str:
    api = api_of(model)
    if api is Api.MESSAGES:
        return f'[models."{_full(model)}"]\nbase_url = "{url}/anthropic"'
    return f'[models."{_full(model)}"]\nbase_url = "{url}/v1"\napi = "{api}"'
