"""What the tools are told by their environment: addresses and keys, never arguments."""

import os

from tools import Refused


def setting(name: str, meaning: str) -> str:
    """Read one environment variable. Raises Refused when it is missing: nothing can be done without it."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise Refused("not_configured", f"the worker's environment variable {name} ({meaning}) is not set")
    return value
