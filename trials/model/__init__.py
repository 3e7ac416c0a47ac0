"""The protocol of the door and the ledger, searched breadth-first: every interleaving of a few workers and the world.

What it is built of: `core.receipts.TRANSITIONS` moves the rows; `rules` names every other decision; `door` takes the
steps of one worker; `world` is the provider, the clock, the people and Temporal; `search` walks. Nothing here runs the
product: a test compares the moves with the real ledger's.
"""
