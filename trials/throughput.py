"""``python -m trials.throughput [--full] [--seed N]``: how fast the storm's tasks end, against the same without faults.

It is a trial of its own because it needs a machine that does nothing else, which a storm of 10,000 tasks does not.
"""

import sys

from cli.leaving import leave_process
from trials.storm.__main__ import main

if __name__ == "__main__":
    leave_process(main(["--throughput", *sys.argv[1:]]))
