"""Trials with things that nobody here wrote."""
