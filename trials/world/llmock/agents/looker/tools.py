# ruff: noqa: INP001, ARG001 - an agent is a folder, loaded by path; a tool declares what it does not use
"""One tool that always works."""

from tools import Call, tool


@tool(effect="read")
def look(call: Call, at: str) -> str:
    """Look at something."""
    return f"seen {at}"
