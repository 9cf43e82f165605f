"""Rules for requests of browsers: the cookie of a session, and which requests another site may have made them send."""

from collections.abc import Mapping
from urllib.parse import urlsplit

NOT_OURS = (
    "This request does not come from a page of this gateway, so nothing was changed. Open the console at its own address; where a "
    "proxy stands before the gateway, IMAGEGATE_PUBLIC_URL must be the address that browsers use."
)

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Content-Security-Policy of the bytes of a picture. Chromium shows a picture in a page of its own with an inline style, which a
stricter policy reports; a picture has no style or program that this lets in."""


def session_cookie(public_url: str | None) -> str:
    """Return the name of the cookie with the token of a session.

    Over https the prefix `__Host-` keeps other hosts of the domain from setting it. Browsers drop such a cookie over plain http.
    """
    return "__Host-imagegate" if is_https(public_url) else "imagegate"


def is_https(public_url: str | None) -> bool:
    """Return whether browsers reach the gateway over TLS, by the setting PUBLIC_URL."""
    return public_url is not None and public_url.startswith("https://")


def public_path(public_url: str | None) -> str:
    """Return the path of PUBLIC_URL, under which a proxy serves the gateway: empty, or like `/images`, without /v1."""
    return "" if public_url is None else urlsplit(public_url).path.rstrip("/").removesuffix("/v1")


def is_own_request(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Return whether a request that a cookie authenticates comes from a page of this gateway.

    Browsers send `Sec-Fetch-Site` over https and to this machine; then it decides. Else `Origin` must be that of PUBLIC_URL or,
    without that setting, that of the `Host` the browser sent the cookie to. A request with neither header is refused.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin", "").lower()
    if public_url is not None:
        ours = urlsplit(public_url.lower())
        return origin == f"{ours.scheme}://{ours.netloc}".removesuffix(":443" if ours.scheme == "https" else ":80")
    host = headers.get("host", "").lower()
    return bool(host) and origin in (f"http://{host}", f"https://{host}")
