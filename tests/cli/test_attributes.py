"""Search attributes: a worker goes without only where the server says that it may not have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from temporalio.client import Client
from temporalio.service import RetryConfig, RPCError

from cli.attributes import register_attributes
from tests.worlds import dev_server


async def test_server_that_does_not_answer_is_no_server_without_attributes() -> None:
    async with dev_server() as environment:
        address = environment.client.service_client.config.target_host
        client = await Client.connect(address, retry_config=RetryConfig(max_retries=1))
        assert await register_attributes(client) == ""
    with pytest.raises(RPCError):
        await register_attributes(client)


async def test_connection_that_breaks_in_mid_call_is_no_server_without_attributes() -> None:
    async with dev_server() as environment, breaking(environment.client) as (client, cut):
        assert await register_attributes(client) == ""
        cut.set()
        with pytest.raises(RPCError):
            await register_attributes(client)


@asynccontextmanager
async def breaking(direct: Client) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """Yield a client whose connection breaks at the next word that it sends once the event is set."""
    cut, (host, _, port) = asyncio.Event(), direct.service_client.config.target_host.rpartition(":")
    ends: list[asyncio.StreamWriter] = []

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, may_break: bool) -> None:
        with suppress(ConnectionError):
            while (data := await source.read(65_536)) and not (may_break and cut.is_set()):
                target.write(data)
        for end in ends:
            end.transport.abort()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        ends.extend((writer, back))
        await asyncio.gather(pass_on(reader, back, may_break=True), pass_on(there, writer, may_break=False))

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield await Client.connect(address, retry_config=RetryConfig(max_retries=1)), cut
