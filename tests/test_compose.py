"""docker-compose.yml is parsed against the Compose specification, and what it sets must be what the worker reads."""

from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from config.settings import load
from ledger.address import PostgresServer, parse_address

FILE = Path(__file__).parent.parent / "docker-compose.yml"


@pytest.fixture
def text() -> str:
    return FILE.read_text()


def test_file_is_a_valid_compose_document(text: str) -> None:
    compose = PyCompose.from_yaml(text)
    compose.validate()
    assert compose.to_spec().services is not None


def test_a_planted_mistake_is_caught(text: str) -> None:
    with pytest.raises(ValueError, match="imagee"):
        PyCompose.from_yaml(text.replace("image: temporalio/ui", "imagee: temporalio/ui"))


def test_every_dependency_and_volume_exists(text: str) -> None:
    document = yaml.safe_load(text)
    services = document["services"]
    for name, service in services.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert "healthcheck" in services[needed], f"{name} waits for {needed} to be healthy"
            assert condition == {"condition": "service_healthy"}
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source == "." or source in document["volumes"]


def test_worker_service_is_set_up_by_variables_that_the_worker_reads(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = yaml.safe_load(text)["services"]["worker"]["environment"]
    for name, value in environment.items():
        if name.startswith("LASTMILE_"):
            monkeypatch.setenv(name, value.replace("${POSTGRES_PASSWORD:-lastmile}", "secret"))
    settings = load(FILE.parent / "lastmile.toml")
    assert settings.temporal.address == "temporal:7233"
    assert isinstance(parse_address(settings.ledger), PostgresServer)
