"""demo: what `make demo` runs."""

from cli.options import AsJson


def demo(as_json: AsJson = False) -> None:
    """Tell the story of a refund on real services, with the worker killed at the worst moment."""
    raise NotImplementedError
