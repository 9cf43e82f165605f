"""Client of the administration API: over HTTP to another machine, or in this process to an application over the database here."""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import httpx2

from app import __version__
from app.cli.output import say
from app.cli.targets import KEY_VARIABLE, RemoteTarget, Target
from app.errors import (
    ConfigurationError,
    GatewayError,
    InvalidApiKey,
    InvalidValue,
    NotFound,
    PermissionDenied,
    UnknownUrl,
)

TIMEOUT = httpx2.Timeout(600.0, connect=10.0)
"""An audit of a long book takes minutes."""
PAGE = 100
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""Exceptions raised by code that reads an answer of another shape."""

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """Client of one gateway's administration API.

    Paths are given in segments, after /v1/organization. Every method raises GatewayError: the gateway's own refusal, or one
    that says why there was no answer. A value that looks like a secret is refused, because URLs are logged. `url` is the
    gateway's, without /v1.
    """

    http: httpx2.AsyncClient
    url: str

    async def installation(self) -> "Installation":
        found = await self.get("installation")
        with self.reading():
            if found["object"] != "installation":
                raise self.unexpected_answer(200)
            return Installation(found["currency"], ZoneInfo(found["timezone"]))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Guard code that reads an answer: raises GatewayError for an answer that does not have imagegate's shape."""
        try:
            yield
        except _UNREADABLE as exc:
            raise self.unexpected_answer(200) from exc

    @contextmanager
    def after(self, change: str) -> Iterator[None]:
        """Guard requests that only show a change: when one fails, the GatewayError says that `change` has been made."""
        try:
            with self.reading():
                yield
        except GatewayError as exc:
            reason = exc.message.removesuffix(" Try again.")
            message = f"{change}; only showing it failed. Do not do it again. {reason}"
            raise GatewayError(message, status=exc.status, code=exc.code, type=exc.type) from exc

    async def get(self, *path: str, **query: Any) -> Answer:
        """Send a GET. Parameters that are None are left out."""
        return self._json(await self._send("GET", path, query))

    async def every(self, *path: str, count: int | None = None, **query: Any) -> Answer:
        """Read all pages of a list as one list; with `count`, only its first objects."""
        data: list[Any] = []
        while True:
            limit = PAGE if count is None else min(PAGE, count - len(data))
            page = await self.get(*path, limit=limit, after=data[-1]["id"] if data else None, **query)
            with self.reading():
                data += page["data"]
                if not page["has_more"] or not page["data"] or len(data) == count:
                    return {**page, "data": data, "first_id": data[0]["id"] if data else None}

    async def post(self, *path: str, **fields: Any) -> Answer:
        return self._with_warnings(self._json(await self._send("POST", path, json=fields)))

    async def delete(self, *path: str, **query: Any) -> Answer:
        return self._json(await self._send("DELETE", path, query))

    async def text(self, *path: str, **query: Any) -> str:
        """Send a GET whose answer is a document; returns its text."""
        return (await self._send("GET", path, query)).text

    @asynccontextmanager
    async def opened(self, *path: str) -> AsyncIterator[httpx2.Response]:
        """Open the answer to a GET, whose bytes the block reads as they arrive."""
        _check_secrets(*path)
        try:
            async with self.http.stream("GET", self._url(path)) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise self._refusal(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise self._no_answer("GET", exc) from None

    async def send_text(self, text: str, content_type: str, *path: str, **query: Any) -> Answer:
        headers = {"content-type": content_type}
        return self._with_warnings(
            self._json(await self._send("POST", path, query, content=text.encode(), headers=headers))
        )

    async def _send(
        self, method: str, path: tuple[str, ...], query: Mapping[str, Any] | None = None, **body: Any
    ) -> httpx2.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        _check_secrets(*path, *params.values())
        try:
            answer = await self.http.request(method, self._url(path), params=params, **body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise self._no_answer(method, exc) from None  # The request, and its key with it, hangs on the exception.
        except UnicodeEncodeError:
            raise InvalidValue("What is given is not text: it holds bytes of another encoding than UTF-8.") from None
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _url(self, path: tuple[str, ...]) -> str:
        return "/".join([f"{self.url}/v1/organization", *map(_segment, path)])

    def _json(self, answer: httpx2.Response) -> Answer:
        """Parse an answer. Raises GatewayError without the field `object`, which every answer of the API has."""
        with self.reading():
            found: Answer = answer.json()
            if not isinstance(found["object"], str):
                raise TypeError(found["object"])
            return found

    def _with_warnings(self, answer: Answer) -> Answer:
        """Return an answer after printing the warnings about names in it."""
        with self.reading():
            for each in (answer, *answer.get("data", ())):
                if warning := each.get("name_warning"):
                    say(f"imagegate: warning: {warning}")
        return answer

    def _no_answer(self, method: str, exc: Exception) -> GatewayError:
        url, reason = self.url, f"{type(exc).__name__}: {exc}".removesuffix(": ")
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.InvalidURL):
            message = f"There is no connection to {url} ({reason}). Look whether the gateway runs, and at the URL."
        elif method == "GET":
            message = f"{url} did not answer ({reason}). Try again."
        else:
            message = f"{url} did not answer ({reason}), and may have made the change: look before you try again."
        return GatewayError(message, status=503, code="gateway_unreachable")

    def _refusal(self, answer: httpx2.Response) -> GatewayError:
        url, status = self.url, answer.status_code
        error = _error(answer)
        if error is None:
            return self.unexpected_answer(status, answer.headers.get("location"))
        message, code = str(error["message"]), error["code"]
        match status, code:
            case 401, _:
                hint = f"Set {KEY_VARIABLE} to one that was made on the machine of that gateway, and is not revoked"
                return InvalidApiKey(f"{url} does not take this admin key. {hint} (imagegate admin-keys create).")
            case 403, "permission_denied":
                return PermissionDenied(f"{message} Put an owner's key into {KEY_VARIABLE}.")
            case 404, "unknown_url":
                return UnknownUrl(
                    f"{url} does not offer what this command asks for: its version is older than {__version__}, which this "
                    "is. Update it, or run the command on its machine."
                )
        return GatewayError(message, param=error["param"], code=code, type=error["type"], status=status)

    def unexpected_answer(self, status: int, location: str | None = None) -> GatewayError:
        """Make the error for an answer that is not imagegate's: a proxy or a sign-in page has answered."""
        leads = _host(location)
        message = f"{self.url} answers {status}{leads}, and not as imagegate does. Look at the URL, and at what stands between."
        return GatewayError(message, status=502, code="gateway_unreachable")


@dataclass(frozen=True, slots=True)
class Installation:
    """Currency and timezone that the data of a gateway is shown in."""

    currency: str
    zone: ZoneInfo


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[tuple[Client, Installation]]:
    """Open a client for one command, and read the installation it is connected to. Raises GatewayError; ConfigurationError for an
    unusable database, or an unusable proxy or certificate authority in the environment."""
    if isinstance(target, RemoteTarget):
        async with _remote(target) as http:
            client = Client(http, target.url)
            yield client, await client.installation()
        return
    from app.cli.local import open_application

    async with open_application(target) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as http:
            yield Client(http, "http://localhost"), Installation(target.settings.currency, target.settings.zone)


def _remote(target: RemoteTarget) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {target.key}", "user-agent": f"imagegate/{__version__}"}
    # A proxy from the environment is for other machines: it would get the admin key, unencrypted, and cannot reach this one.
    # A certificate authority from it is for this machine, too; without TLS none is loaded.
    near = target.is_loopback
    try:
        authorities = httpx2.create_ssl_context(trust_env=not near or target.is_encrypted)
        return httpx2.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=not near, verify=authorities)
    except OSError as exc:  # Of the file; ssl.SSLError is one, too.
        message = f"{_set_of(_AUTHORITIES)} cannot be used: {type(exc).__name__}. It names a file or directory of certificates."
        raise ConfigurationError(message) from None
    except (ImportError, ValueError, httpx2.InvalidURL):  # Its message may hold the password of the proxy.
        message = f"{_set_of(_PROXIES)} cannot be used: a proxy is like http://proxy.example.com:3128; SOCKS is not supported."
        raise ConfigurationError(message) from None


def _set_of(names: tuple[str, ...]) -> str:
    """Return the names that are set in the environment, in its spelling; all of `names` when none is."""
    return ", ".join(name for name in os.environ if name.upper() in names) or " or ".join(names)


def _error(answer: httpx2.Response) -> dict[str, Any] | None:
    """Return OpenAI's error object; None when the answer has none."""
    try:
        error = answer.json()["error"]
        return error if {"message", "type", "param", "code"} <= error.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _segment(text: str) -> str:
    if text in ("", ".", "..") or "/" in text:
        message = f"{text[:80]!r} cannot stand in a URL: give its id, which the command `list` shows."
        raise InvalidValue(message, param="id")
    return quote(text, safe="")


def _host(location: str | None) -> str:
    """Return scheme and host of a redirect's target, as words for a message. The rest can hold a password."""
    try:
        to = urlsplit(location or "")
    except ValueError:
        return ""
    return f" and leads to {to.scheme}://{to.hostname}" if to.hostname else ""


def _check_secrets(*values: Any) -> None:
    """Refuse secrets, because URLs are logged everywhere. A value may be a list, or hold several with commas between."""
    each = [str(item) for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    if any(re.search(r"(^|[\s,])sk-", text) for text in each):
        raise NotFound("That is a secret, and not an id; an id of a key is like key_ and 12 characters.", param="key")
