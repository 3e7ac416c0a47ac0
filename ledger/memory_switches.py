"""The kill switches of a ledger in memory."""

from core.receipts import Row, Stop
from ledger.columns import legible, utc
from ledger.switches import stopped


class MemorySwitches:
    """What is stopped."""

    def __init__(self) -> None:
        self._stops: dict[tuple[str, str], Stop] = {}

    def put(self, stop: Stop) -> None:
        """Turn a switch on."""
        kept = {"by": legible(stop.by), "reason": legible(stop.reason), "at": utc(stop.at)}
        self._stops[stop.tool, stop.agent] = stop.model_copy(update=kept)

    def take(self, tool: str, agent: str) -> Stop | None:
        """Turn a switch off, and return what it was."""
        return self._stops.pop((tool, agent), None)

    def all(self) -> list[Stop]:
        """Return every switch that is on, oldest first."""
        return sorted(self._stops.values(), key=lambda stop: (stop.at, stop.tool, stop.agent))

    def check(self, row: Row) -> None:
        """Raise Stopped for an effect that a switch covers."""
        if any(stop.covers(row.tool, row.agent) for stop in self._stops.values()):
            raise stopped(row, self.all())
