"""Check a planner's document against the contracts of the tools, before anything runs. Every fault at once.

(being written)
"""

from collections.abc import Mapping

from core.contract import Contract
from core.plan import Fault, Plan
from core.profile import Limits
from core.record import Json


def check_plan(
    document: Json, catalogue: Mapping[str, Contract], earlier: Mapping[str, str], limits: Limits
) -> Plan | list[Fault]:
    """Return the plan, or what is wrong with it. `earlier` maps step ids of earlier rounds (r1.s2) to their tools."""
    raise NotImplementedError
