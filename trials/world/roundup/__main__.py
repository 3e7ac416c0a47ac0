"""``python -m trials.world.roundup [--full] [--seed N]``: this part alone; nothing is kept but by `trials.world`."""

import sys

from trials.running import main
from trials.world.roundup.tickets import roundup

if __name__ == "__main__":
    sys.exit(main("world-roundup", {"roundup": roundup}))
