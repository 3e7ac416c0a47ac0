"""A real server for all tests of this folder, and for each test a world in which no workflow task may fail."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.workflows.shop import Shop
from tests.workflows.stories import assert_never_failed, events_of
from tests.worlds import World, dev_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[str]:
    """The address of a dev server."""
    async with dev_server() as environment:
        yield environment.client.service_client.config.target_host


@pytest.fixture
async def world(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    client = await Client.connect(server, data_converter=pydantic_data_converter)
    world = World(client, tmp_path, task_queue=request.node.name, prefix=f"{request.node.name}-")
    yield world
    for handle in world.started:
        assert_never_failed(await events_of(handle))


@pytest.fixture
def shop() -> Shop:
    return Shop()
