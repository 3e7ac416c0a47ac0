"""Secrets of a source: read from the environment when they are used, and taken out of everything that is kept."""

import base64
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from core.errors import NotSent
from tools.openapi.tables import Auth

_SHORTEST = 4  # characters; a shorter one would be found everywhere
_HIDDEN = "[secret]"


class Secrets:
    """What `auth` names. `environ` is that of the worker."""

    def __init__(self, auth: Auth | None, environ: Mapping[str, str]) -> None:
        self._auth = auth
        self._environ = environ

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate. Raises NotSent when a variable is missing."""
        match self._auth:
            case Auth(bearer_env=str(name)):
                return {"Authorization": f"Bearer {self._value(name)}"}
            case Auth(header=str(header), env=str(name)):
                return {header: self._value(name)}
            case Auth(username_env=str(user), password_env=str(password)):
                return {"Authorization": f"Basic {_basic(self._value(user), self._value(password))}"}
        return {}

    def query(self) -> dict[str, str]:
        """Return the query parameters that authenticate. Raises NotSent when a variable is missing."""
        match self._auth:
            case Auth(query=str(parameter), env=str(name)):
                return {parameter: self._value(name)}
        return {}

    def missing(self) -> list[str]:
        """Name the variables that are not set."""
        return [name for name in self._names() if not self._environ.get(name)]

    def hide(self, text: str) -> str:
        """Take the secrets out of a text, in every form that they are sent in."""
        for form in self._forms():
            text = text.replace(form, _HIDDEN)
        return text

    def hide_in(self, body: bytes) -> bytes:
        """Take the secrets out of what a server answered: it may echo what it was sent."""
        for form in self._forms():
            body = body.replace(form.encode(), _HIDDEN.encode())
        return body

    def _names(self) -> Iterator[str]:
        if self._auth is not None:
            fields = (self._auth.bearer_env, self._auth.env, self._auth.username_env, self._auth.password_env)
            yield from (name for name in fields if name is not None)

    def _value(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        if not value:
            raise NotSent(f"the environment variable {name} is not set; the worker needs it to reach this service")
        if not value.isascii() or not value.isprintable():
            raise NotSent(f"the environment variable {name} holds characters that cannot stand in a request")
        return value

    def _forms(self) -> list[str]:
        """List the values as they may appear, longest first."""
        values = {name: self._environ.get(name, "").strip() for name in self._names()}
        forms = {form for value in values.values() for form in _written(value)}
        if self._auth and self._auth.username_env and self._auth.password_env:
            forms.add(_basic(values[self._auth.username_env], values[self._auth.password_env]))
        return sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)


def _written(value: str) -> set[str]:
    return {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()
