"""``python -m trials.deployments [--full] [--seed N]``: the storm's tasks while workers are replaced by SIGTERM."""

import sys

from cli.leaving import leave_process
from trials.storm.__main__ import main

if __name__ == "__main__":
    leave_process(main(["--deployments", *sys.argv[1:]]))
