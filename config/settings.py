"""`lastmile.toml` and the environment over it: what a worker and the command line are set up with."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError
from temporalio.envconfig import ClientConfig
from temporalio.service import TLSConfig

from config.document import Document, read_document
from core.budget import MIN_OUTPUT_TOKENS
from core.durations import Duration
from core.errors import ConfigError
from core.record import Input
from core.spending import DayBudget

FILE = "lastmile.toml"
FILE_VARIABLE = "LASTMILE_CONFIG"
PREFIX = "LASTMILE_"

_TEMPORAL_HERE = "127.0.0.1:7233"
_PROVIDERS = ("openai", "anthropic", "scripted")
_SQLITE = "sqlite:///"


def _open_only(trust: str) -> str:
    if trust == "signed":
        raise ValueError('expected "open" ("signed" is not available yet)')
    return trust


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")) or len(url.split("//", 1)[1]) == 0:
        raise ValueError("expected an address that starts with http:// or https://")
    return url


def _model_name(name: str) -> str:
    provider, _, model = name.partition(":")
    if provider not in _PROVIDERS or not model:
        raise ValueError('expected "openai:NAME", "anthropic:NAME" or "scripted:PATH"')
    return name


WebAddress = Annotated[str, AfterValidator(_web_address)]
ModelName = Annotated[str, AfterValidator(_model_name)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@.:_-]{0,99}$")]


class Temporal(Input):
    """``[temporal]``. Without an address the connection is that of Temporal's own environment and profiles.

    ``tls``: whether to use it; default: with an API key or one of the ``tls_...`` files of a server of one's own.
    """

    address: Annotated[str, Field(min_length=1)] | None = None
    namespace: Annotated[str, Field(min_length=1)] | None = None
    task_queue: str = Field(default="lastmile", min_length=1)
    api_key: SecretStr | None = None
    tls: bool | None = None
    tls_server_name: str | None = None
    tls_server_ca_cert: Path | None = None
    tls_client_cert: Path | None = None
    tls_client_key: Path | None = None


class ModelSettings(Input):
    """``[models."provider:NAME"]``: how a model is reached and what a million tokens cost, in dollars.

    ``cached_input_usd_per_mtok``: of input read from the provider's cache, ``cache_write_usd_per_mtok``: of input put
    there (default: as any input). ``timeout``: for a whole answer. ``max_output_tokens``: of one answer (default 4096);
    it is what a call reserves, and has to come within `timeout` also from a model that does not find an end.
    ``provider``: whose circuit breaker and queue it shares (default: the protocol, and the address with a `base_url`).
    ``prompt_cache_key``: whether to send that field, which some servers refuse (default: to OpenAI itself).
    """

    base_url: WebAddress | None = None
    api: Literal["responses", "chat"] = "responses"
    input_usd_per_mtok: NonNegativeFloat | None = None
    output_usd_per_mtok: NonNegativeFloat | None = None
    cached_input_usd_per_mtok: NonNegativeFloat | None = None
    cache_write_usd_per_mtok: NonNegativeFloat | None = None
    timeout: Duration = timedelta(seconds=60)
    max_output_tokens: Annotated[int, Field(ge=MIN_OUTPUT_TOKENS)] | None = None
    provider: ProviderName | None = None
    prompt_cache_key: bool | None = None


class ProviderSettings(Input):
    """``[providers.NAME]``: gives the provider a task queue of its own, which every worker polls.

    ``calls_per_second``: over all workers, kept by Temporal (None = no limit); ``max_concurrent_calls``: in one worker.
    """

    calls_per_second: PositiveFloat | None = None
    max_concurrent_calls: PositiveInt = 20


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError('expected a JSON pointer into the inputs of a task, such as "/tenant"')
    return text


class TenantSettings(DayBudget):
    """``[budgets.tenants]``: what each tenant may spend in a day (UTC). ``pointer``: where a task's inputs name it.

    ``of``: exceptions, by tenant. Tasks that name none share one budget.
    """

    pointer: Annotated[str, AfterValidator(_pointer)] | None = None
    of: dict[str, DayBudget] = {}

    @model_validator(mode="after")
    def _has_pointer(self) -> Self:
        if self.pointer is None and (self.of or self.tokens_per_day is not None or self.usd_per_day is not None):
            raise ValueError('expected pointer too, which says where the inputs name the tenant, such as "/tenant"')
        return self


class BudgetSettings(DayBudget):
    """``[budgets]``: what each agent may spend in a day (UTC), unless its own agent.toml says otherwise."""

    tenants: TenantSettings = TenantSettings()


class Person(Input):
    """``[people.NAME]``."""

    roles: tuple[str, ...] = ()


class Notify(Input):
    """``[notify]``: where notices go besides the log; `webhook` takes Slack's incoming format."""

    webhook: WebAddress | None = None


class WorkerSettings(Input):
    """``[worker]``: how much one worker process takes on. `graceful_shutdown`: for calls that are under way at SIGTERM;
    it should be longer than the longest tool's deadline.
    """

    max_concurrent_activities: PositiveInt = 100
    max_cached_workflows: NonNegativeInt = 1000
    graceful_shutdown: Duration = timedelta(seconds=60)


class SettingsFile(Input):
    """What may stand in ``lastmile.toml``."""

    agents: tuple[Path, ...] = (Path("agents"),)
    ledger: str = Field(default="sqlite:///var/ledger.db", min_length=1)
    trust: Annotated[Literal["open", "signed"], AfterValidator(_open_only)] = "open"
    temporal: Temporal = Temporal()
    models: dict[ModelName, ModelSettings] = {}
    providers: dict[ProviderName, ProviderSettings] = {}
    budgets: BudgetSettings = BudgetSettings()
    people: dict[Annotated[str, Field(min_length=1)], Person] = {}
    notify: Notify = Notify()
    worker: WorkerSettings = WorkerSettings()


class Settings(SettingsFile):
    """The settings, all paths absolute. `file` is None when there is none; `folder`: where relative paths start."""

    file: Path | None = None
    folder: Path


class _Environment(BaseSettings, SettingsFile):
    """Names the variables: LASTMILE_LEDGER, LASTMILE_TEMPORAL__ADDRESS. Never filled; only its source is used."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True)


def load(path: Path | None = None) -> Settings:
    """Load the settings: from `path`, else from the file that LASTMILE_CONFIG names, else from ./lastmile.toml if there
    is one, else the defaults; then LASTMILE_... variables over it. Raises ConfigError with all faults.
    """
    file = _find(path)
    variables = _variables()
    document = read_document(file, variables, PREFIX) if file else Document(Path(FILE), "", {}, variables, PREFIX)
    parsed = document.parse(SettingsFile)
    folder = file.parent if file else Path.cwd()
    return Settings.model_validate({**dict(parsed), **_absolute(parsed, folder), "file": file, "folder": folder})


def connect_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments of `Client.connect`.

    Without [temporal] address they come from TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, TEMPORAL_API_KEY
    and their like (temporalio.envconfig); what stands in [temporal] goes over them. Raises ConfigError.
    """
    ours = _connection(settings)
    theirs = {} if settings.temporal.address else _client_profile()
    return {"target_host": _TEMPORAL_HERE, "namespace": "default", **theirs, **ours}


def _find(path: Path | None) -> Path | None:
    if path is not None:
        return path.absolute()
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named).absolute()
    here = Path.cwd() / FILE
    return here if here.exists() else None


def _variables() -> dict[str, Any]:
    try:
        return EnvSettingsSource(_Environment)()
    except SettingsError as error:
        cause = error.__cause__ or error
        raise ConfigError(f"a variable {PREFIX}...: {error}: {cause}; lists and tables are written as JSON") from error


def _absolute(parsed: SettingsFile, folder: Path) -> dict[str, Any]:
    """Let relative paths start at the folder of the file, wherever the process was started."""
    files = ("tls_server_ca_cert", "tls_client_cert", "tls_client_key")
    paths = {name: folder / path for name in files if (path := getattr(parsed.temporal, name)) is not None}
    ledger = parsed.ledger
    if ledger.startswith(_SQLITE) and (relative := ledger.removeprefix(_SQLITE)) not in ("", ":memory:"):
        ledger = f"{_SQLITE}{folder / relative}"
    return {
        "agents": tuple(folder / path for path in parsed.agents),
        "ledger": ledger,
        "temporal": parsed.temporal.model_copy(update=paths),
    }


def _connection(settings: Settings) -> dict[str, Any]:
    temporal = settings.temporal
    options = {"target_host": temporal.address, "namespace": temporal.namespace, "tls": _tls(temporal)}
    if temporal.api_key is not None:
        options["api_key"] = temporal.api_key.get_secret_value()
    return {name: value for name, value in options.items() if value is not None}


def _tls(temporal: Temporal) -> bool | TLSConfig | None:
    """Return what `connect` takes; None leaves it to the client (TLS with an API key, else none)."""
    files = (temporal.tls_server_ca_cert, temporal.tls_client_cert, temporal.tls_client_key)
    if temporal.tls is False or (temporal.tls_server_name is None and not any(files)):
        return temporal.tls
    try:
        authority, certificate, key = (path.read_bytes() if path else None for path in files)
    except OSError as error:
        raise ConfigError(f"[temporal] tls: {error.filename}: cannot be read: {error.strerror}") from error
    return TLSConfig(
        server_root_ca_cert=authority, domain=temporal.tls_server_name, client_cert=certificate, client_private_key=key
    )


def _client_profile() -> dict[str, Any]:
    try:
        return dict(ClientConfig.load_client_connect_config())
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"the connection to Temporal that TEMPORAL_... variables describe cannot be used: {error}"
        ) from error
