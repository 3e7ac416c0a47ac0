"""Names of models, keys and addresses."""

from pathlib import Path

import pytest

from core.errors import PlannerDown
from llm.planners import ModelAccess, Planners
from tests.llm.conftest import RawServer, prompt


def planners(tmp_path: Path, base_url: str | None = None, **environ: str) -> Planners:
    access = ModelAccess(base_url=base_url)
    return Planners(models={"openai:m": access, "anthropic:m": access}, environ=environ, folder=tmp_path)


@pytest.mark.parametrize("name", ["", "gpt", "openai:", "mistral:large", ":x"])
def test_unknown_name_is_down_and_says_what_to_write(name: str, tmp_path: Path) -> None:
    with pytest.raises(PlannerDown, match="write openai:NAME, anthropic:NAME or scripted:PATH"):
        planners(tmp_path).get(name)


@pytest.mark.parametrize(("name", "variable"), [("openai:m", "OPENAI_API_KEY"), ("anthropic:m", "ANTHROPIC_API_KEY")])
@pytest.mark.parametrize("base_url", [None, "https://models.example/v1"])
def test_missing_key_is_down_and_names_the_variable(
    name: str, variable: str, base_url: str | None, tmp_path: Path
) -> None:
    with pytest.raises(PlannerDown, match=f"set {variable}"):
        planners(tmp_path, base_url).get(name)


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-é", "sk a"])
def test_key_that_no_header_can_carry_is_down_and_not_shown(key: str, tmp_path: Path) -> None:
    with pytest.raises(PlannerDown, match="OPENAI_API_KEY holds what no key can hold") as caught:
        planners(tmp_path, OPENAI_API_KEY=key).get("openai:m")
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["127.0.0.1:8000/v1", "ftp://127.0.0.1/v1", "http://", "http://[::1", "http://h:99999/v1", ""]
)
def test_address_that_is_none_is_down_and_names_the_setting(base_url: str, tmp_path: Path) -> None:
    with pytest.raises(PlannerDown, match=r'models\."openai:m"'):
        planners(tmp_path, base_url, OPENAI_API_KEY="sk-a").get("openai:m")


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:9", "[::1]:9", "models.localhost:9"])
def test_server_on_loopback_needs_no_key(host: str, tmp_path: Path) -> None:
    planners(tmp_path, f"http://{host}/v1").get("openai:m")


async def test_key_comes_from_the_given_environment_alone(
    raw_server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-process")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    raw_server.says(200, b'{"output": []}')
    made = planners(tmp_path, raw_server.origin, OPENAI_API_KEY="sk-of-the-worker\n")
    await made.get("openai:m").propose(prompt())
    await made.aclose()
    assert b"authorization: bearer sk-of-the-worker\r\n" in raw_server.requests[0].lower()


async def test_models_of_one_server_share_a_client(tmp_path: Path) -> None:
    made = planners(tmp_path, OPENAI_API_KEY="sk-a")
    made.get("openai:m")
    made.get("openai:m")
    assert len(made._openai) == 1
    (client,) = made._openai.values()
    await made.aclose()
    assert client.is_closed()


async def test_fine_tuned_model_is_asked_without_bounds(raw_server: RawServer, tmp_path: Path) -> None:
    access = ModelAccess(base_url=raw_server.origin)
    name = "openai:ft:gpt:acme::1"
    made = Planners(models={name: access}, environ={}, folder=tmp_path)
    raw_server.says(200, b'{"output": []}')
    await made.get(name).propose(prompt())
    await made.aclose()
    assert b'"ft:gpt:acme::1"' in raw_server.requests[0]
    assert b"maxLength" not in raw_server.requests[0]
