"""How many examples a property is tried with. The profiles are in conftest.py.

``steady``, the default, makes the same examples every time, so that a red run is always a change of ours. ``explore``
makes others each time, and ten times as many (or HYPOTHESIS_EXAMPLES for each 100): it finds what nobody has met yet.
"""

from hypothesis import settings

_USUAL = 100
"""Examples of a property that says nothing; hypothesis' own default."""


def examples(usual: int) -> int:
    """Return how many examples to make where `usual` are enough for every day."""
    return usual * settings().max_examples // _USUAL
