"""Links to pictures for the routes: the signer, and the address of the gateway that a client uses."""

from starlette.requests import Request

from app.images.links import PictureLinks
from app.wiring import Gateway


def picture_links(gateway: Gateway) -> PictureLinks:
    originals = gateway.image_service.replay.originals
    return PictureLinks(gateway.pepper, gateway.kept_answers, originals, gateway.clock, gateway.zone)


def public_url(gateway: Gateway, request: Request) -> str | None:
    """Return the address of this gateway without a slash at its end: the setting PUBLIC_URL, else the one this request was made to.
    None without a Host header.

    Only the client that sent the Host gets links made of it.
    """
    if gateway.settings.public_url is not None:
        return gateway.settings.public_url.rstrip("/").removesuffix("/v1")
    host = request.headers.get("host")
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return None if not host else f"{request.url.scheme}://{host}{root}"
