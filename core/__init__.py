"""The behaviour of a task as plain data and pure functions.

Nothing in here reads a clock, a disk, the network or the environment, and nothing imports Temporal.
"""
