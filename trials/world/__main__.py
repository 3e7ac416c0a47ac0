"""``python -m trials.world [--full] [--seed N] [--only PART]``: run against what other people wrote."""

import sys

from trials.running import Part, main
from trials.world.llmock.part import llmock
from trials.world.local.desk import local
from trials.world.roundup.tickets import roundup
from trials.world.stripe.part import refunds
from trials.world.tau2 import part as tau2


def parts() -> dict[str, Part]:
    """Name the parts."""
    return {"stripe": refunds, **tau2.parts(), "roundup": roundup, "llmock": llmock, "local": local}


if __name__ == "__main__":
    sys.exit(main("world", parts()))
