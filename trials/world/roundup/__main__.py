"""``python -m trials.world.roundup [--full] [--seed N]``: this part alone, kept under its own name."""

import sys

from trials.running import main
from trials.world.roundup.tickets import roundup

if __name__ == "__main__":
    sys.exit(main("world-roundup", {"roundup": roundup}))
