"""The search attributes of tasks: what they are, whether the server knows them, and how it gets to."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli.errors import is_silent, missing_namespace
from core import names

ATTRIBUTES: dict[str, tuple[str, IndexedValueType.ValueType]] = {
    names.STATUS_ATTRIBUTE: ("Keyword", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
    names.AGENT_ATTRIBUTE: ("Keyword", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
    names.WAITING_FOR_ATTRIBUTE: ("KeywordList", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST),
    names.WAITING_SINCE_ATTRIBUTE: ("Datetime", IndexedValueType.INDEXED_VALUE_TYPE_DATETIME),
}
"""Name in flags of the server, and in its interface, of each attribute's type."""


def register_command(namespace: str) -> str:
    """Write the command with which an administrator registers them."""
    pairs = " ".join(f"--name {name} --type {kind}" for name, (kind, _) in ATTRIBUTES.items())
    return f"temporal operator search-attribute create --namespace {namespace} {pairs}"


async def missing_attributes(client: Client) -> list[str]:
    """Name what the server does not know, or knows with another type. Raises RPCError when it may not be asked."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    known = (await client.operator_service.list_search_attributes(request)).custom_attributes
    return [name for name, (_, kind) in ATTRIBUTES.items() if known.get(name) != kind]


async def register_attributes(client: Client) -> str:
    """Register what is missing. Return "" when the server knows all of them now, else why it does not.

    An attribute that the server does not know makes every workflow task fail (measured), so tasks go without then.
    Raises RPCError when the namespace is not there: nothing can run then; and when the server does not answer, or
    the connection breaks: a worker that went without would open tasks that no inbox finds (a storm left 33 so).
    """
    try:
        missing = await missing_attributes(client)
        if missing:
            await client.operator_service.add_search_attributes(_request(client.namespace, missing))
            missing = await missing_attributes(client)
    except RPCError as error:
        if missing_namespace(error) or is_silent(error):
            raise
        return "" if error.status is RPCStatusCode.ALREADY_EXISTS else error.message or error.status.name
    return f"the server still does not know {', '.join(missing)}" if missing else ""


def _request(namespace: str, wanted: list[str]) -> AddSearchAttributesRequest:
    return AddSearchAttributesRequest(
        namespace=namespace, search_attributes={name: ATTRIBUTES[name][1] for name in wanted}
    )
