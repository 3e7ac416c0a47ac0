"""The activities: everything a task does outside the workflow. `worker.py` builds them with `build_activities`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from activities.alarms import Alarms
from activities.closing import Closing
from activities.completing import Completer
from activities.door import Door
from activities.opening import Opening
from activities.people import People
from activities.planning import Planning
from activities.runs import TemporalRuns
from activities.undoing import Undoing
from activities.visit import Clock
from core.ports import Agents, Ledger, Notifier, Planners, Runs, Transactions

__all__ = [
    "Closing",
    "Completer",
    "Door",
    "Needs",
    "Opening",
    "People",
    "Planning",
    "TemporalRuns",
    "Undoing",
    "build_activities",
    "build_completer",
    "build_planning",
]


@dataclass(frozen=True, slots=True)
class Needs:
    """What the activities need from the outside. `clock` returns aware UTC.

    ``notifiers``: in the order of use; the log last, since it cannot fail. ``search_attributes``: whether the server
    knows those of core.names.
    """

    agents: Agents
    planners: Planners
    ledger: Ledger
    transactions: Transactions
    notifiers: Sequence[Notifier]
    runs: Runs
    clock: Clock
    search_attributes: bool = True


def build_activities(needs: Needs) -> list[Callable[..., Any]]:
    """Build the list for `Worker(activities=...)`."""
    return [
        Opening(needs.agents, needs.ledger, needs.runs, needs.clock, needs.search_attributes).open_task,
        build_planning(needs),
        Door(needs.agents, needs.ledger, needs.transactions, needs.runs, clock=needs.clock).call_tool,
        Closing(needs.agents, needs.ledger, needs.clock).conclude,
        Undoing(needs.agents, needs.ledger).list_effects,
        People(needs.notifiers).notify,
    ]


def build_planning(needs: Needs) -> Callable[..., Any]:
    """Build the one activity that the queues of providers serve."""
    return Planning(needs.agents, needs.planners, needs.ledger, needs.clock).propose_plan


def build_completer(needs: Needs) -> Completer:
    """Build what settles the calls that no task looks after; the worker runs it beside its polling."""
    alarms = Alarms(needs.agents, needs.ledger, needs.notifiers, needs.runs, needs.clock)
    return Completer(needs.agents, needs.ledger, needs.transactions, needs.runs, alarms, needs.clock)
