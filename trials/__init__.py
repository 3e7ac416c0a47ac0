"""Proof under fire: programs that attack the runtime, and count apart from it what happened. `make trials` runs all."""
