"""What an error of a tool says about the effect: certainly not applied, a definite no, or unknown.

The rules know libraries by the names of their classes, so none of them is imported. They hold for a tool that makes
one request. An error that follows an earlier request of the same call (the tool's own second one, or a retry inside an
SDK) proves nothing about the first: turn an SDK's retries off, and raise `Refused` or `NotSent` where the tool knows.
"""

from core.errors import NotSent, Refused
from core.ports import Certainty, Sorted
from tools.sorting import database, http, mail, network
from tools.sorting.words import unknown

__all__ = ["sort"]

_RULES = (http.sort_http, mail.sort_mail, database.sort_database, network.sort_network)


def sort(error: BaseException) -> Sorted:
    """Sort what a tool raised. Whatever no rule knows leaves the outcome unknown; never raises."""
    match error:
        case Refused():
            return Sorted(certainty=Certainty.REFUSED, code=error.code, message=error.message)
        case NotSent():
            return Sorted(
                certainty=Certainty.NOT_SENT, code="not_sent", message=str(error), retry_after=error.retry_after
            )
        case _:
            return _by_rule(error)


def _by_rule(error: BaseException) -> Sorted:
    for rule in _RULES:
        try:
            found = rule(error)
        except Exception:  # noqa: BLE001, S112 - a foreign error whose attributes raise is one that we do not know
            continue
        if found is not None:
            return found
    return unknown("error", error)
