"""What an agent's tool files import: the decorator, the call, and the two errors that say precisely what happened."""

from core.errors import NotSent, Refused
from core.ports import Call
from tools.arguments import FreeText
from tools.declaration import tool

__all__ = ["Call", "FreeText", "NotSent", "Refused", "tool"]
