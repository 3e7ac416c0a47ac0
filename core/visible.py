"""Make visible what a text can hide: whoever approves must read what is there."""

import unicodedata

from core.record import Json

_HIDING = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def visible(text: str) -> str:
    """Show control, format and bidirectional characters and odd line breaks as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _HIDING else _escape(char) for char in text
    )


def visible_values(value: Json) -> Json:
    """Do the same to every text and every name in a JSON value."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {visible(name): visible_values(item) for name, item in value.items()}
        case list():
            return [visible_values(item) for item in value]
    return value


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def writable(text: str) -> str:
    """Replace halves of surrogate pairs, which no JSON in UTF-8 can hold: no error's text may hold up its report."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
