"""Which planner the demo uses: a language model whose key is at hand, else the agent's own script."""

from collections.abc import Mapping

from core.record import Record

SCRIPT = "scripted:script"

_BY_KEY = {
    "OPENAI_API_KEY": "openai:gpt-5-mini",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
}


class Route(Record):
    """What to write as `models` of the agent, and the sentence that tells people so."""

    models: tuple[str, ...]
    sentence: str


def choose_route(environment: Mapping[str, str]) -> Route:
    """Take every model whose key is set, in the order of the table; the script only when there is none.

    The script never stands behind a model: it plans one refund whatever the goal says, so it is no fallback.
    """
    keys = [key for key in _BY_KEY if environment.get(key, "").strip()]
    if not keys:
        sentence = f"No {' or '.join(_BY_KEY)} is set, so the plan comes from a script, not from a language model."
        return Route(models=(SCRIPT,), sentence=sentence)
    models = tuple(_BY_KEY[key] for key in keys)
    return Route(models=models, sentence=f"Planning with {', then '.join(models)} ({' and '.join(keys)} found).")
