"""How sorted errors are written, and how classes of libraries that are not imported are recognised."""

from collections.abc import Iterable

from core.ports import Certainty, Sorted

_LONGEST = 500  # characters of a message


def not_sent(code: str, error: BaseException, retry_after: float | None = None) -> Sorted:
    """Certainly not applied; may be tried again."""
    return Sorted(certainty=Certainty.NOT_SENT, code=code, message=said(error), retry_after=retry_after)


def refused(code: str, error: BaseException, message: str | None = None) -> Sorted:
    """A definite no."""
    return Sorted(certainty=Certainty.REFUSED, code=code, message=message or said(error))


def unknown(code: str, error: BaseException, retry_after: float | None = None) -> Sorted:
    """It may have been applied."""
    return Sorted(certainty=Certainty.UNKNOWN, code=code, message=said(error), retry_after=retry_after)


def said(error: BaseException) -> str:
    """Return the kind and the text of an error, in one short line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a foreign __str__
        text = ""
    return f"{type(error).__name__}: {text}"[:_LONGEST] if text else type(error).__name__


def lineage(error: BaseException) -> Iterable[str]:
    """Yield ``package.Class`` for the class of an error and its bases, nearest first."""
    for kind in type(error).__mro__:
        yield f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
