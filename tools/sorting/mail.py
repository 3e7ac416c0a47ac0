"""Errors of SMTP clients (smtplib, aiosmtplib).

A reply decides by its first digit: 4 = not now, 5 = no (RFC 5321, 4.2.1).
"""

from collections.abc import Iterable
from typing import Any

from core.ports import Sorted
from tools.sorting.words import lineage, not_sent, refused, unknown

_PACKAGES = frozenset({"smtplib", "aiosmtplib"})
_PERMANENT = range(500, 600)
_TRANSIENT = range(400, 500)
_BEFORE_THE_MESSAGE = frozenset({"SMTPConnectError", "SMTPHeloError", "SMTPConnectTimeoutError"})


def sort_mail(error: BaseException) -> Sorted | None:
    """Sort an error of an SMTP client; None for another kind."""
    kinds = {name.partition(".")[2] for name in lineage(error) if name.partition(".")[0] in _PACKAGES}
    if not kinds:
        return None
    if kinds & _BEFORE_THE_MESSAGE:
        return not_sent("connect_failed", error)
    if "SMTPNotSupportedError" in kinds or "SMTPNotSupported" in kinds:
        return refused("not_supported", error)
    return _by_codes(error, list(_codes(error)))


def _codes(error: Any) -> Iterable[int]:
    """Yield the reply codes: one, or that of each recipient."""
    recipients = getattr(error, "recipients", None)
    match recipients:
        case dict():  # smtplib: address -> (code, text)
            yield from (code for code, _ in recipients.values())
        case list():  # aiosmtplib: one error per recipient
            yield from (recipient.code for recipient in recipients)
        case _:
            code = getattr(error, "smtp_code", getattr(error, "code", None))
            yield from [code] if isinstance(code, int) else []


def _by_codes(error: BaseException, codes: list[int]) -> Sorted:
    if codes and all(code in _PERMANENT for code in codes):
        return refused(f"smtp_{codes[0]}", error)
    if codes and all(code in _PERMANENT or code in _TRANSIENT for code in codes):
        return not_sent(f"smtp_{codes[0]}", error)
    return unknown("smtp_error", error)
