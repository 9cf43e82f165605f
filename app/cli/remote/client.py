"""The administration API of a gateway elsewhere, asked over HTTP; what it refuses is raised as it would be here."""

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
from app.cli.remote.address import KEY_VARIABLE, Address
from app.errors import (
    ConfigurationError,
    GatewayError,
    InvalidApiKey,
    InvalidValue,
    NotFound,
    PermissionDenied,
    UnknownUrl,
)

TIMEOUT = httpx2.Timeout(120.0, connect=10.0)
"""A report over years takes its time."""
PAGE = 100
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading an answer of another shape raises."""


@dataclass(frozen=True, slots=True)
class Client:
    """Paths are given in segments, after /v1/organization. Every method raises GatewayError: the gateway's own, or one that
    says why there was no answer. No secret is ever part of a URL."""

    http: httpx2.AsyncClient
    address: Address

    async def installation(self) -> "Installation":
        found = await self.get("installation")
        with self.reading():
            if found["object"] != "organization.installation":
                raise self.stranger(200)
            return Installation(found["currency"], ZoneInfo(found["timezone"]))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around whatever takes an answer apart. Raises GatewayError for one that is not as imagegate's."""
        try:
            yield
        except _UNREADABLE as exc:
            raise self.stranger(200) from exc

    @contextmanager
    def after(self, change: str) -> Iterator[None]:
        """Around a look at what was changed: where it fails, the GatewayError says that `change` is made all the same."""
        try:
            with self.reading():
                yield
        except GatewayError as exc:
            reason = exc.message.removesuffix(" Try again.")
            message = f"{change}; only showing it failed. Do not do it again. {reason}"
            raise GatewayError(message, status=exc.status, code=exc.code, type=exc.type) from exc

    async def get(self, *path: str, **query: Any) -> Any:
        """Parameters that are None are left out."""
        return self._json(await self._send("GET", path, query))

    async def every(self, *path: str, **query: Any) -> AsyncIterator[Any]:
        """The objects of a list, page by page; read no further than you need."""
        after = None
        while True:
            page = await self.get(*path, limit=PAGE, after=after, **query)
            for each in page["data"]:
                yield each
            if not page["has_more"]:
                return
            after = page["last_id"]

    async def post(self, *path: str, **fields: Any) -> Any:
        return self._json(await self._send("POST", path, json=fields))

    async def delete(self, *path: str) -> Any:
        return self._json(await self._send("DELETE", path))

    async def text(self, *path: str, **query: Any) -> str:
        """An answer that is a document."""
        return (await self._send("GET", path, query)).text

    async def send_text(self, text: str, content_type: str, *path: str, **query: Any) -> Any:
        headers = {"content-type": content_type}
        return self._json(await self._send("POST", path, query, content=text.encode(), headers=headers))

    async def _send(
        self, method: str, path: tuple[str, ...], query: Mapping[str, Any] | None = None, **body: Any
    ) -> httpx2.Response:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        _check_secrets(*path, *params.values())
        try:
            url = "/".join([f"{self.address.url}/v1/organization", *map(_segment, path)])
            answer = await self.http.request(method, url, params=params, **body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise self._silence(method, exc) from None  # The request, and its key with it, hangs on the exception.
        except UnicodeEncodeError:
            raise InvalidValue("What is given is not text: it holds bytes of another encoding than UTF-8.") from None
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise self.stranger(answer.status_code) from None

    def _silence(self, method: str, exc: Exception) -> GatewayError:
        url, reason = self.address.url, f"{type(exc).__name__}: {exc}".removesuffix(": ")
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.InvalidURL):
            message = f"There is no connection to {url} ({reason}). Look whether the gateway runs, and at the URL."
        elif method == "GET":
            message = f"{url} did not answer ({reason}). Try again."
        else:
            message = f"{url} did not answer ({reason}), and may have made the change: look before you try again."
        return GatewayError(message, status=503, code="gateway_unreachable")

    def _refusal(self, answer: httpx2.Response) -> GatewayError:
        url, status = self.address.url, answer.status_code
        error = _error(answer)
        if error is None:
            return self.stranger(status, answer.headers.get("location"))
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

    def stranger(self, status: int, location: str | None = None) -> GatewayError:
        """Somebody else answers."""
        leads = _host(location)
        message = f"{self.address.url} answers {status}{leads}, and not as imagegate does. Look at the URL, and at what stands"
        return GatewayError(f"{message} between.", status=502, code="gateway_unreachable")


@dataclass(frozen=True, slots=True)
class Installation:
    """What data of that gateway is shown in."""

    currency: str
    zone: ZoneInfo


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[Client, Installation]]:
    """One connection for a whole command, asked first who is there. Raises GatewayError, and ConfigurationError for a proxy
    or certificate authority of the environment that cannot be used."""
    async with _http(address) as http:
        client = Client(http, address)
        yield client, await client.installation()


def _http(address: Address) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {address.key}", "user-agent": f"imagegate/{__version__}"}
    # A proxy out of the environment is for elsewhere: it would get the admin key, unencrypted, and cannot come back here.
    # A certificate authority out of it is for here, too, and where nothing is encrypted nobody asks for one.
    near = address.is_loopback
    try:
        authorities = httpx2.create_ssl_context(trust_env=not near or address.is_encrypted)
        return httpx2.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=not near, verify=authorities)
    except OSError as exc:  # Of the file; ssl.SSLError is one, too.
        message = f"{_set_of(_AUTHORITIES)} cannot be used: {type(exc).__name__}. It names a file or directory of certificates."
        raise ConfigurationError(message) from None
    except (ImportError, ValueError, httpx2.InvalidURL):  # Its message may hold the password of the proxy.
        message = f"{_set_of(_PROXIES)} cannot be used: a proxy is like http://proxy.example.com:3128; SOCKS is not supported."
        raise ConfigurationError(message) from None


def _set_of(names: tuple[str, ...]) -> str:
    """Those of them that the environment has, as they are written there."""
    return ", ".join(name for name in os.environ if name.upper() in names) or " or ".join(names)


def _error(answer: httpx2.Response) -> dict[str, Any] | None:
    """OpenAI's error object; None where somebody else answered."""
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
    """What a redirect may be told by: it can hold a password."""
    try:
        to = urlsplit(location or "")
    except ValueError:
        return ""
    return f" and leads to {to.scheme}://{to.hostname}" if to.hostname else ""


def _check_secrets(*values: Any) -> None:
    """URLs are logged everywhere. A value may be a list, or hold several with commas between."""
    each = [str(item) for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    if any(re.search(r"(^|[\s,])sk-", text) for text in each):
        raise NotFound("That is a secret, and not an id; an id of a key is like key_ and 12 characters.", param="key")
