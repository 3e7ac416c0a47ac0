"""What is searched: small scenes, in which the mutants are caught, and large ones, in which nothing may be found."""

from core.contract import Effect
from trials.model.state import Scene


def _by_name(*scenes: Scene) -> dict[str, Scene]:
    return {scene.name: scene for scene in scenes}


SMALL = _by_name(
    Scene("transactional", Effect.TRANSACTIONAL),
    Scene("transactional, 3 workers", Effect.TRANSACTIONAL, workers=3),
    Scene("idempotent", Effect.IDEMPOTENT),
    Scene("keyed", Effect.KEYED, has_probe=True),
    Scene("keyed, no probe", Effect.KEYED),
    Scene("probed", Effect.PROBED, has_probe=True),
    Scene("unrepeatable", Effect.UNREPEATABLE),
    Scene("unrepeatable, attempts break", Effect.UNREPEATABLE, most_sends=3, breaks=True),
    Scene("idempotent, attempts break", Effect.IDEMPOTENT, breaks=True),
    Scene("probed, reset", Effect.PROBED, has_probe=True, most_sends=1, attempts=1, resets=True),
    Scene(
        "transactional, one approval twice",
        Effect.TRANSACTIONAL,
        most_sends=1,
        attempts=1,
        shares=True,
        until_mark=True,
    ),
    Scene("idempotent, other arguments", Effect.IDEMPOTENT, variants=True),
)
"""By name; two workers each, three where it takes as many."""

LARGE = _by_name(
    Scene("transactional, 3 workers", Effect.TRANSACTIONAL, workers=3),
    Scene("transactional, 3 sends", Effect.TRANSACTIONAL, attempts=3, most_sends=3),
    Scene("idempotent, 3 workers", Effect.IDEMPOTENT, workers=3),
    Scene("idempotent, attempts break", Effect.IDEMPOTENT, breaks=True),
    Scene("idempotent, other arguments", Effect.IDEMPOTENT, variants=True),
    Scene("keyed, 3 sends", Effect.KEYED, has_probe=True, most_sends=3),
    Scene("keyed, no probe", Effect.KEYED),
    Scene("probed, 3 sends", Effect.PROBED, has_probe=True, attempts=3, most_sends=3),
    Scene("probed, 3 workers", Effect.PROBED, has_probe=True, workers=3),
    Scene("probed, reset", Effect.PROBED, has_probe=True, most_sends=1, attempts=1, resets=True),
    Scene("unrepeatable, 3 workers", Effect.UNREPEATABLE, workers=3),
    Scene("unrepeatable, attempts break", Effect.UNREPEATABLE, most_sends=3, breaks=True),
    Scene(
        "transactional, one approval twice",
        Effect.TRANSACTIONAL,
        most_sends=1,
        attempts=1,
        shares=True,
        until_mark=True,
    ),
)
"""By name; for each kind of effect, what makes it hard."""
