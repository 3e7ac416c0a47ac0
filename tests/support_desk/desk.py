"""What the tests of the support desk share besides fixtures."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from core.ports import Call, Sorted
from core.record import Json
from demo.orders import SeedOrder
from tools.python_tool import PythonTool

AGENT = Path(__file__).parents[2] / "agents" / "support_desk"

NewOrder = Callable[..., Awaitable[SeedOrder]]
NewCall = Callable[[], Call]
Desk = Mapping[str, PythonTool]
MailServer = Callable[[object], Awaitable[None]]


async def sorted_error(tool: PythonTool, call: Call, args: dict[str, Json]) -> Sorted:
    """Send a call that has to fail, and sort the error as the door does."""
    try:
        result = await tool.send(call, tool.check(args))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test looks at
        return tool.sort(error)
    raise AssertionError(f"{tool} succeeded: {result}")
