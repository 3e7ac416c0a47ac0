"""``python -m trials.bulk [--full] [--seed N] [--only PART]``: bad input of every kind, and far too much of it."""

import sys

from trials.bulk.answers import any_size
from trials.bulk.flood import flood
from trials.bulk.long import long_task
from trials.bulk.one_key import one_key
from trials.bulk.planning import bad_plans, bad_plans_in_tasks
from trials.bulk.signals import bad_signals
from trials.running import Part, main


def parts() -> dict[str, Part]:
    """Name the parts."""
    return {
        "plans": bad_plans,
        "plans-in-tasks": bad_plans_in_tasks,
        "signals": bad_signals,
        "results": any_size,
        "one-key": one_key,
        "flood": flood,
        "long": long_task,
    }


if __name__ == "__main__":
    sys.exit(main("bulk", parts()))
