"""Who may see a dashboard: browsers that know its token, under a name that is this machine's own."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

_COOKIE = "raybayes_token"
_HINT = b"This dashboard needs its token: open the address that raybayes dashboard has printed."
_OTHER_NAME = b"This dashboard answers to localhost, to addresses in numbers and to the name of its machine only."
Application = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]


class Guard:
    """A WSGI application that lets through what knows the token, by `?token=` or by the cookie that this sets.

    Every user of a machine can connect to its ports, and a page in a browser can make that ask them too: through a name
    that its owner lets point here. So the Host header must be a name that nobody else can give away.

    Args:
        site: what is guarded.
        token: the secret.
        host: the address that is served, as the user gave it.
    """

    def __init__(self, site: Application, token: str, host: str = "127.0.0.1") -> None:
        self._site, self._token = site, token
        self._names = {"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

    def __call__(self, environ: Mapping[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request, or refuse it: 403 for another name, 401 without the token."""
        if not self._is_own_name(environ.get("HTTP_HOST", "")):
            return _refuse(start, "403 Forbidden", _OTHER_NAME)
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0]
        if self._matches(asked):
            cookie = ("Set-Cookie", f"{_COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/")
            return self._site(environ, lambda status, headers, *rest: start(status, [*headers, cookie], *rest))
        if not self._matches(_cookie(environ.get("HTTP_COOKIE", ""))):
            return _refuse(start, "401 Unauthorized", _HINT)
        return self._site(environ, start)

    def _matches(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _is_own_name(self, header: str) -> bool:
        name = header.lower().rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header.lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(_COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _refuse(start: Callable[..., Any], status: str, text: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
