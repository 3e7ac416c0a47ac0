"""Which models an agent asks, and what they may cost: `models` and `[budgets]` of agent.toml, put together with
`[models]`, `[providers]` and `[budgets]` of lastmile.toml.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag

from config.lines import Place
from config.settings import ModelName, Settings
from core.profile import Model
from core.record import Input
from core.routing import Purpose
from core.spending import DayBudget, TenantBudgets

_SCRIPTED = "scripted:"


class RoutesTable(Input):
    """``[models]`` as a table: a route per purpose; `replan` and `conclude` are as `plan` where they are left out.

    ``strong``: who is asked when a plan came with little confidence, when two were refused, and when a plan calls a
    tool for which a rule says ``stakes = "high"``.
    """

    plan: tuple[ModelName, ...] = Field(min_length=1)
    replan: tuple[ModelName, ...] = ()
    conclude: tuple[ModelName, ...] = ()
    strong: ModelName | None = None


def _shape(value: Any) -> str | None:
    match value:
        case dict() | RoutesTable():
            return "[table]"
        case list() | tuple():
            return "[array]"
    return None


Routes = Annotated[
    Annotated[Annotated[tuple[ModelName, ...], Field(min_length=1)], Tag("[array]")]
    | Annotated[RoutesTable, Tag("[table]")],
    Discriminator(
        _shape,
        custom_error_type="routes",
        custom_error_message="expected an array of models, or a table with plan, replan, conclude and strong",
    ),
]
"""``models = [...]``, the route of every purpose; or the table ``[models]``."""


class BuiltRoutes(Input):
    """What a profile says of models; `faults` are places in agent.toml with what is wrong there."""

    route: tuple[Model, ...]
    routes: dict[str, tuple[Model, ...]] = {}
    strong: str = ""


class RouteBuilder:
    """Makes the models of an agent out of their names. `faults` gathers place and problem of what is wrong."""

    def __init__(self, folder: Path, settings: Settings, *, counts_dollars: bool) -> None:
        self._folder = folder
        self._settings = settings
        self._counts_dollars = counts_dollars
        self.faults: list[tuple[Place, str]] = []

    def build(self, wanted: Any) -> BuiltRoutes:
        """Build every route; the strong model stands in each."""
        if not isinstance(wanted, RoutesTable):
            return BuiltRoutes(route=tuple(self._models(("models",), wanted)))
        strong = self._model(("models", "strong"), wanted.strong) if wanted.strong else None
        tail = (strong,) if strong else ()
        built = {purpose: _with(self._named(wanted, purpose), tail) for purpose in Purpose}
        route = built[Purpose.PLAN]
        others = {purpose.value: models for purpose, models in built.items() if models and models != route}
        return BuiltRoutes(route=route, routes=others, strong=strong.name if strong else "")

    def _named(self, wanted: RoutesTable, purpose: Purpose) -> tuple[Model, ...]:
        names: tuple[str, ...] = getattr(wanted, purpose.value)
        return tuple(self._models(("models", purpose.value), names)) or tuple(
            self._models(("models", Purpose.PLAN.value), wanted.plan)
        )

    def _models(self, place: Place, names: tuple[str, ...]) -> Iterator[Model]:
        for number, name in enumerate(names):
            yield self._model((*place, number), name)

    def _model(self, place: Place, name: str) -> Model:
        """Take prices out of the settings; the path of a script starts at the agent's folder."""
        listed = self._settings.models.get(name)
        provider = provider_of(name, self._settings)
        prices = listed.model_dump(include=_PRICES) if listed else {}
        most = listed.max_output_tokens if listed else None
        full = self._script(place, name) if name.startswith(_SCRIPTED) else name
        self._check_price(place, name, prices)
        queue = queue_of(provider, self._settings)
        return Model(name=full, provider=provider, queue=queue, max_output_tokens=most, **prices)

    def _script(self, place: Place, name: str) -> str:
        path = (self._folder / name.removeprefix(_SCRIPTED)).absolute()
        if not _exists(path):
            self._fault(place, f"there is no script {path}")
        return f"{_SCRIPTED}{path}"

    def _check_price(self, place: Place, name: str, prices: dict[str, Any]) -> None:
        known = prices.get("input_usd_per_mtok") is not None and prices.get("output_usd_per_mtok") is not None
        if self._counts_dollars and not known and not name.startswith(_SCRIPTED):
            self._fault(
                place,
                f"a budget in dollars cannot hold without the prices of {name}: set input_usd_per_mtok and "
                f'output_usd_per_mtok under [models."{name}"] in lastmile.toml',
            )

    def _fault(self, place: Place, problem: str) -> None:
        if (place, problem) not in self.faults:
            self.faults.append((place, problem))


_PRICES = {"input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok", "cache_write_usd_per_mtok"}


def provider_of(name: str, settings: Settings) -> str:
    """Name the provider of a model, whose circuit breaker and task queue it shares: as its settings say; else the
    protocol, with the address where that is not the vendor's own. A script has none.
    """
    listed = settings.models.get(name)
    if listed and listed.provider:
        return listed.provider
    if name.startswith(_SCRIPTED):
        return ""
    protocol = name.partition(":")[0]
    return f"{protocol}@{urlsplit(listed.base_url).netloc}" if listed and listed.base_url else protocol


def queue_of(provider: str, settings: Settings) -> str:
    """Name the task queue of a provider that has a table in lastmile.toml; "" for one that has none."""
    return f"{settings.temporal.task_queue}-{provider}" if provider in settings.providers else ""


def budget_of(own: DayBudget, settings: Settings) -> DayBudget:
    """Return the budget of an agent and day: its own, and what it does not say, as lastmile.toml says for each."""
    every = settings.budgets
    return DayBudget(
        tokens_per_day=every.tokens_per_day if own.tokens_per_day is None else own.tokens_per_day,
        usd_per_day=every.usd_per_day if own.usd_per_day is None else own.usd_per_day,
    )


def tenants_of(settings: Settings) -> TenantBudgets:
    """Return the budgets of tenants."""
    tenants = settings.budgets.tenants
    each = DayBudget(tokens_per_day=tenants.tokens_per_day, usd_per_day=tenants.usd_per_day)
    return TenantBudgets(pointer=tenants.pointer, each=each, of=dict(tenants.of))


def counts_dollars(own: DayBudget, settings: Settings) -> bool:
    """Whether any budget that the agent's calls have to fit is one in dollars."""
    tenants = tenants_of(settings)
    theirs = [tenants.each, *tenants.of.values()] if tenants.pointer is not None else []
    return any(one.usd_per_day is not None for one in (budget_of(own, settings), *theirs))


def _with(models: tuple[Model, ...], tail: tuple[Model, ...]) -> tuple[Model, ...]:
    return (*models, *(one for one in tail if one.name not in {model.name for model in models}))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a null character
        return False
