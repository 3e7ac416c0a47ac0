"""Reaching the Temporal server, or saying in one sentence why not."""

import asyncio
from datetime import timedelta
from functools import cache

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError

from cli.errors import Unreachable
from config.settings import Settings, connect_options

PATIENCE = timedelta(seconds=5)
"""How long a server may take to answer the first call."""


@cache
def silence_sdk() -> None:
    """Keep the SDK's native part from writing on the screen, once per process; what matters comes back as errors."""
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)


async def connect(settings: Settings, patience: timedelta = PATIENCE) -> Client:
    """Connect to the server that the configuration names. Raises Unreachable."""
    options = connect_options(settings)
    address = str(options.get("target_host", ""))
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await Client.connect(**options, data_converter=pydantic_data_converter)
    except (TimeoutError, RuntimeError, ValueError, RPCError) as error:
        raise Unreachable(_sentence(address, error)) from error


def _sentence(address: str, error: Exception) -> str:
    mend = "start one with `python starter.py dev`, or set TEMPORAL_ADDRESS or [temporal] address in lastmile.toml"
    match error:
        case ValueError():
            return f"{address!r} is no address of a Temporal server ({error}); write HOST:PORT"
        case TimeoutError():
            return f"the Temporal server at {address} does not answer within {PATIENCE.seconds} s; {mend}"
    return f"no Temporal server answers at {address} ({_cause(str(error))}); {mend}"


def _cause(text: str) -> str:
    """Pick what people understand out of a chain of transport errors."""
    known = {
        "ConnectionRefused": "connection refused",
        "dns error": "the host name is not known",
        "InvalidCertificate": "its certificate is not trusted",
        "PermissionDenied": "permission denied",
        "Unauthenticated": "the key is not accepted",
        "timed out": "timed out",
    }
    return next((words for sign, words in known.items() if sign in text), text[:200])
