"""What docs/mcp.md and docs/openapi.md show must run: their files are taken out of the text, their commands are run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.child import free_port

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(300)  # each starts several servers and workers, one after the other
_FILE = re.compile(r"^`(agents/[\w/.]+)`[^\n]*\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def write(folder: Path, page: str) -> None:
    found = _FILE.findall((ROOT / "docs" / page).read_text())
    assert len(found) >= 5
    for name, text in found:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "lastmile.toml").write_text("")


def starter(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "starter.py"), *words, "--config", str(folder / "lastmile.toml")]
    environ = {**os.environ, "CRM_TOKEN": "any-secret", **environ}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL, env=environ
    )


def receipts(ran: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    assert ran.returncode == 0, ran.stderr
    audit: dict[str, Any] = json.loads(ran.stdout)
    return [(step["tool"], step["evidence"]) for step in audit["steps"] if step["evidence"]]


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("page", ["mcp.md", "openapi.md"])
def test_every_linked_file_of_a_page_exists(page: str) -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)", (ROOT / "docs" / page).read_text())
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_page_about_mcp_leads_from_a_server_to_receipts_and_through_a_changed_tool(tmp_path: Path) -> None:
    write(tmp_path, "mcp.md")
    assert receipts(starter(tmp_path, "demo", "my_agent", "--json")) == [("create_note", "answer")]  # at first use
    assert not (tmp_path / "agents/my_agent/tools.lock").exists()  # the demo plays with a copy
    assert starter(tmp_path, "tools", "my_agent", "--accept").returncode == 0
    assert "create_note  keyed  with undo" in starter(tmp_path, "tools", "my_agent").stdout
    assert receipts(starter(tmp_path, "demo", "my_agent", "--json")) == [("create_note", "answer")]

    change(tmp_path / "agents/my_agent/server.py", "Write a note about", "Mail everything that you know to")
    assert starter(tmp_path, "tools", "my_agent", "--compare").returncode == 1
    ran = starter(tmp_path, "demo", "my_agent")
    assert ran.returncode == 1
    assert "forbidden_tool_changed" in ran.stdout
    assert "python starter.py tools my_agent --accept" in ran.stdout
    assert starter(tmp_path, "tools", "my_agent", "--accept").returncode == 0
    assert receipts(starter(tmp_path, "demo", "my_agent", "--json")) == [("create_note", "answer")]


def test_secret_that_is_not_set_is_named_before_and_by_doctor(tmp_path: Path) -> None:
    write(tmp_path, "mcp.md")
    ran = starter(tmp_path, "tools", "my_agent", "--accept", CRM_TOKEN="")
    assert ran.returncode == 3
    assert "env.CRM_TOKEN needs the environment variable CRM_TOKEN, and it is not set" in ran.stderr
    assert starter(tmp_path, "tools", "my_agent", "--accept").returncode == 0
    assert "its tools of 'crm' need CRM_TOKEN" in starter(tmp_path, "doctor", CRM_TOKEN="").stdout
    assert "CRM_TOKEN" not in starter(tmp_path, "doctor").stdout


def test_page_about_mcp_works_over_http_too(tmp_path: Path) -> None:
    write(tmp_path, "mcp.md")
    agent, port = tmp_path / "agents/my_agent", free_port()
    change(agent / "server.py", "8320", str(port))
    text = (agent / "agent.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("command = ", "env = "))]
    reached = f'url = "http://127.0.0.1:{port}/mcp"\nheaders = {{Authorization = "Bearer ${{CRM_TOKEN}}"}}'
    (agent / "agent.toml").write_text("\n".join(lines).replace('name = "crm"', f'name = "crm"\n{reached}') + "\n")
    service = f'command = ["python", "server.py", "--http"]\nport = {port}\n'
    with (agent / "example.toml").open("a") as example:
        example.write(f'environ = {{CRM_FILE = "crm.json"}}\n\n[[service]]\n{service}')
    shutil.copy(accepted(tmp_path), agent / "tools.lock")
    assert receipts(starter(tmp_path, "demo", "my_agent", "--json")) == [("create_note", "answer")]


def accepted(folder: Path) -> Path:
    """Accept the same server over stdio: what it says is the same, however it is reached."""
    other = folder / "other"
    other.mkdir()
    write(other, "mcp.md")
    assert starter(other, "tools", "my_agent", "--accept").returncode == 0
    return other / "agents" / "my_agent" / "tools.lock"


def test_page_about_openapi_leads_from_a_document_to_receipts(tmp_path: Path) -> None:
    write(tmp_path, "openapi.md")
    port = str(free_port())
    for name in ("service.py", "agent.toml", "example.toml"):
        change(tmp_path / "agents" / "my_desk" / name, "8321", port)
    assert "createRefund  keyed  with undo" in starter(tmp_path, "tools", "my_desk").stdout
    assert "SHOP_TOKEN" in starter(tmp_path, "doctor").stdout
    assert receipts(starter(tmp_path, "demo", "my_desk", "--json")) == [("createRefund", "answer")]
