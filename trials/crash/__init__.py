"""The crash matrix: every cell of the table "crash point x effect" (design, 3-effects) against every way to be stopped.

::

    table.py       what must happen, as data       cells.py     table x actions, and the sample of CI
    provider.py    the counter, its own process    zygote.py    forks workers; arming.py stops them at a place
    scene.py       stages one cell                 judging.py   what was found against what must be

A worker here is the real one (`worker.serve`), forked off a process that has only imported it; the server, the ledger
and the network are real. Nothing is judged by what the runtime says of itself alone: the provider counts.
"""
