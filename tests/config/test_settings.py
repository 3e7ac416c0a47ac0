"""lastmile.toml and the environment."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import (
    BudgetSettings,
    ModelSettings,
    ProviderSettings,
    SettingsFile,
    Temporal,
    TenantSettings,
    WorkerSettings,
    connect_options,
    load,
)
from core.errors import ConfigError
from tests.config.documents import documents

EXAMPLE = """
agents = ["agents"]
ledger = "sqlite:///var/ledger.db"
trust = "open"

[temporal]
address = "127.0.0.1:7233"
task_queue = "lastmile"

[models."openai:NAME"]
base_url = "http://127.0.0.1:8000/v1"
api = "responses"
input_usd_per_mtok = 1.0
output_usd_per_mtok = 4.0

[people.ana]
roles = ["finance"]

[notify]
webhook = "https://hooks.example.com/x"

[worker]
max_concurrent_activities = 7
graceful_shutdown = "1m30s"
max_cached_workflows = 0
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "lastmile.toml"
    file.write_text(text)
    return file


def message(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_documented_example_is_read(tmp_path: Path) -> None:
    settings = load(write(tmp_path, EXAMPLE))
    model = settings.models["openai:NAME"]
    assert (model.base_url, model.api, model.output_usd_per_mtok) == ("http://127.0.0.1:8000/v1", "responses", 4.0)
    assert settings.people["ana"].roles == ("finance",)
    assert settings.notify.webhook == "https://hooks.example.com/x"
    assert settings.worker.graceful_shutdown == timedelta(seconds=90)
    assert settings.temporal.task_queue == "lastmile"


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, EXAMPLE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load(Path("..") / file.name)
    assert settings.agents[0].resolve() == tmp_path / "agents"
    assert Path(settings.ledger.removeprefix("sqlite:///")).resolve() == tmp_path / "var" / "ledger.db"


def test_absolute_ledger_and_other_databases_stay_as_they_are(tmp_path: Path) -> None:
    for address in ("sqlite:////data/l.db", "postgresql://u@h/db", "sqlite:///:memory:"):
        assert load(write(tmp_path, f'ledger = "{address}"')).ledger == address


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff"])
def test_empty_file_gives_the_defaults(tmp_path: Path, text: str) -> None:
    settings = load(write(tmp_path, text))
    assert settings.agents == (tmp_path / "agents",)
    assert settings.worker.graceful_shutdown == timedelta(seconds=60)


def test_missing_default_file_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None)
    assert (settings.file, settings.folder, settings.trust) == (None, tmp_path, "open")


def test_file_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, EXAMPLE)
    monkeypatch.chdir(tmp_path)
    assert load(None).file == file


def test_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_CONFIG", str(write(tmp_path, EXAMPLE)))
    assert load(None).worker.max_concurrent_activities == 7


def test_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: cannot be read: No such file"):
        load(tmp_path / "nope.toml")


def test_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_variables_go_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_LEDGER", "postgresql://u@h/db")
    monkeypatch.setenv("LASTMILE_TEMPORAL__ADDRESS", "temporal:7233")
    monkeypatch.setenv("LASTMILE_WORKER__MAX_CONCURRENT_ACTIVITIES", "3")
    monkeypatch.setenv("LASTMILE_AGENTS", '["other"]')
    settings = load(write(tmp_path, EXAMPLE))
    assert (settings.ledger, settings.temporal.address) == ("postgresql://u@h/db", "temporal:7233")
    assert (settings.temporal.task_queue, settings.worker.max_concurrent_activities) == ("lastmile", 3)
    assert settings.agents == (tmp_path / "other",)


def test_fault_in_a_variable_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_WORKER__MAX_CONCURRENT_ACTIVITIES", "many")
    assert message(tmp_path, EXAMPLE).startswith("LASTMILE_WORKER__MAX_CONCURRENT_ACTIVITIES (environment): expected")


def test_list_in_a_variable_has_to_be_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_AGENTS", "agents")
    assert "written as JSON" in message(tmp_path, "")


def test_signed_trust_is_not_available_yet(tmp_path: Path) -> None:
    found = message(tmp_path, '\ntrust = "signed"')
    assert found == 'lastmile.toml:2: trust: expected "open" ("signed" is not available yet), found \'signed\''


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ledgr = 'x'", "lastmile.toml:1: ledgr: unknown key; did you mean 'ledger'?"),
        (
            "[worker]\nmax_concurent_activities = 1",
            "lastmile.toml:2: worker.max_concurent_activities: unknown key; did you mean 'max_concurrent_activities'?",
        ),
        ("[people.ana]\nrole = []", "lastmile.toml:2: people.ana.role: unknown key; did you mean 'roles'?"),
        ("[zzz]", "lastmile.toml:1: zzz: unknown key; known are: agents, ledger"),
        ('\n\n[models."gpt:x"]', 'lastmile.toml:3: models.gpt:x: expected "openai:NAME"'),
        ("[models.'openai:x']\napi = 'soap'", "expected 'responses' or 'chat', found 'soap'"),
        (
            "[models.'openai:x']\ninput_usd_per_mtok = -1",
            "lastmile.toml:2: models.openai:x.input_usd_per_mtok: expected",
        ),
        ("[notify]\nwebhook = 'ftp://x'", "lastmile.toml:2: notify.webhook: expected an address that starts with http"),
        ("[worker]\ngraceful_shutdown = 'soon'", 'expected a duration such as "20s"'),
        ("temporal = 3", "lastmile.toml:1: temporal: expected a table, found 3"),
        ("agents = 'agents'", "lastmile.toml:1: agents: expected an array, found 'agents'"),
        ("a = ", "lastmile.toml:1:5: is not TOML: Invalid value"),
        ("a = 1\nb = = 2", "lastmile.toml:2:5: is not TOML: Invalid value"),
        ("a = " + "[" * 5000, "lastmile.toml: is not TOML that can be read"),
        ("a = " + "9" * 5000, "lastmile.toml: is not TOML that can be read"),
        ("ledger = 0x" + "f" * 5000, "lastmile.toml"),
        ("folder = '/etc'", "unknown key"),
    ],
)
def test_fault_is_named_with_file_line_key_and_expectation(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message(tmp_path, text)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    lines = message(tmp_path, "x = 1\nledger = 2\n[worker]\nmax_cached_workflows = -1").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["ledger", "worker.max_cached_workflows", "x"]


def test_file_that_is_no_text_is_named_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "lastmile.toml"
    file.write_bytes(b"ledger = 'x'\nagents = '\xff'\n")
    with pytest.raises(ConfigError, match=r"lastmile.toml:2: is not UTF-8 text"):
        load(file)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = "[temporal]\naddress = 'h:1'\napi_key = 'sesame'\n[notify]\nwebhook = 'hooks.example.com/sesame'"
    assert "sesame" not in message(tmp_path, text)
    assert "sesame" not in repr(load(write(tmp_path, text.partition("[notify]")[0])))


def options(folder: Path, text: str) -> dict[str, object]:
    return connect_options(load(write(folder, text)))


def test_connection_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:7233")
    text = "[temporal]\naddress = 'here:7233'\nnamespace = 'shop'\napi_key = 'k'"
    assert options(tmp_path, text) == {"target_host": "here:7233", "namespace": "shop", "api_key": "k"}


def test_connection_without_an_address_is_that_of_temporals_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:7233")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "theirs")
    monkeypatch.setenv("TEMPORAL_API_KEY", "k")
    expected = {"target_host": "elsewhere:7233", "namespace": "theirs", "api_key": "k", "tls": True}
    assert options(tmp_path, "") == expected
    assert options(tmp_path, "[temporal]\nnamespace = 'ours'")["namespace"] == "ours"


def test_connection_by_a_profile_of_temporals_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = tmp_path / "temporal.toml"
    profiles.write_text('[profile.prod]\naddress = "prod:7233"\nnamespace = "shop"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profiles))
    monkeypatch.setenv("TEMPORAL_PROFILE", "prod")
    assert options(tmp_path, "") == {"target_host": "prod:7233", "namespace": "shop"}
    monkeypatch.setenv("TEMPORAL_PROFILE", "tset")
    with pytest.raises(ConfigError, match="Profile 'tset' not found"):
        options(tmp_path, "")


def test_connection_without_anything_is_the_local_server(tmp_path: Path) -> None:
    assert options(tmp_path, "") == {"target_host": "127.0.0.1:7233", "namespace": "default"}


def test_tls_files_are_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"authority")
    tls = options(tmp_path, "[temporal]\naddress = 'h:1'\ntls_server_ca_cert = 'ca.pem'")["tls"]
    assert getattr(tls, "server_root_ca_cert", None) == b"authority"
    with pytest.raises(ConfigError, match=r"nope.pem: cannot be read"):
        options(tmp_path, "[temporal]\naddress = 'h:1'\ntls_client_cert = 'nope.pem'")


@pytest.mark.parametrize("switch", ["true", "false"])
def test_tls_can_be_switched(tmp_path: Path, switch: str) -> None:
    assert options(tmp_path, f"[temporal]\naddress = 'h:1'\ntls = {switch}")["tls"] is (switch == "true")


KEYS = (
    *SettingsFile.model_fields, *Temporal.model_fields, *ModelSettings.model_fields, *WorkerSettings.model_fields,
    *ProviderSettings.model_fields, *BudgetSettings.model_fields, *TenantSettings.model_fields,
    "openai:x", "ana", "roles", "webhook",
)  # fmt: skip


@given(text=documents(KEYS))
def test_any_toml_gives_settings_or_an_error_that_names_the_file(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read(tmp_path_factory.getbasetemp() / "any.toml", text.encode())


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_give_settings_or_an_error_that_names_the_file(
    body: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read(tmp_path_factory.getbasetemp() / "any.toml", body)


def read(file: Path, body: bytes) -> None:
    file.write_bytes(body)
    try:
        settings = load(file)
    except ConfigError as error:
        assert str(error).startswith(str(file))  # noqa: PT017 - both ends are right
    else:
        assert settings.file == file
