"""Search attributes: a worker goes without only where the server says that it may not have them."""

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
