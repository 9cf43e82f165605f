"""Address of the gateway that a client uses, which links to pictures begin with."""

from starlette.requests import Request

from app.api.deps import parts


def public_url(request: Request) -> str | None:
    """Return the address of this gateway without a slash at its end: the setting PUBLIC_URL, else the one this request was made to.
    None without a Host header.

    A client that sends a false Host so gets false links, and nobody else does.
    """
    if (configured := parts(request).public_url) is not None:
        return configured.rstrip("/").removesuffix("/v1")
    host = request.headers.get("host")
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return None if not host else f"{request.scope['scheme']}://{host}{root}"
