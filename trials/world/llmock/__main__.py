"""``python -m trials.world.llmock [--full] [--seed N]``: this part alone, kept under its own name."""

import sys

from trials.running import main
from trials.world.llmock.planning import llmock

if __name__ == "__main__":
    sys.exit(main("world-llmock", {"llmock": llmock}))
