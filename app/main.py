"""ASGI application: routes, error handlers and middleware for an open gateway."""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from app import __version__
from app.administration import Administration
from app.api import collection, images, models, ops, picture_library, pictures, self_service
from app.api.body import BodyCaps, read_upload_form
from app.api.deps import Parts, WithParts
from app.api.documentation import install_documentation
from app.api.errors import install_error_handlers
from app.api.guard import Guard
from app.api.middleware import SandboxMark, wrap
from app.api.open_bodies import OpenBodies
from app.api.organization import PREFIX
from app.api.paths import CONSOLE, V1, ClientPaths, LateApplication, PublicPath
from app.core.actors import Actor
from app.core.browsers import public_path
from app.core.uploads import UploadedForm
from app.images.forms import AnswerForms
from app.images.links import PictureLinks
from app.settings import Settings
from app.wiring import Gateway

if TYPE_CHECKING:
    from app.control.single_sign_on import SingleSignOn

PUBLIC = (
    images.router,
    collection.router,
    pictures.router,
    picture_library.router,
    models.router,
    self_service.router,
)
"""Routers under /v1, except those of the administration API. Each is included separately, so that FastAPI builds its routes at the
first request. A common parent router would build them twice at every start."""
ADMINISTRATION = V1 + PREFIX


def create_app(gateway: Gateway) -> ASGIApp:
    """Make the application for an open gateway, which the caller closes."""
    settings = gateway.settings
    guard = Guard(
        models_per_minute=settings.guard_models_per_minute,
        admin_per_minute=settings.guard_admin_per_minute,
        own_per_minute=settings.guard_own_per_minute,
        pictures_per_minute=settings.guard_pictures_per_minute,
        bad_keys_per_minute=settings.guard_bad_keys_per_minute,
    )
    open_bodies = OpenBodies(
        bodies_max=settings.open_bodies_max,
        bytes_max=settings.open_bodies_bytes_max,
        upload_bytes_max=settings.upload_bytes_max,
    )
    originals = gateway.image_service.replay.originals
    lives_ms = (int(settings.pictures_link_s * 1000), gateway.taking.keep_ms)
    links = PictureLinks(
        gateway.peppers.every(), gateway.kept_answers, originals, gateway.clock, gateway.zone, *lives_ms
    )
    forms = AnswerForms(gateway.kept_answers, gateway.taking, links)
    parts = Parts(
        gateway, guard, open_bodies, _body_caps(settings, gateway.data_dir), links, forms, settings.public_url
    )
    paths = (V1 + getattr(route, "path", "") for router in PUBLIC for route in router.routes)
    app: ASGIApp = LateApplication(WithParts(_api(), parts), CONSOLE, partial(_console, gateway, parts))
    app = LateApplication(app, ADMINISTRATION, lambda: WithParts(_administration_api(), parts))
    app = ClientPaths(app, [*paths, ADMINISTRATION])
    app = PublicPath(app, public_path(settings.public_url))
    app = SandboxMark(app) if gateway.sandbox else app
    return wrap(app, is_draining=lambda: gateway.image_service.draining, cors_origins=settings.allowed_origins)


def _console(gateway: Gateway, parts: Parts) -> ASGIApp:
    """Make the console. Its modules are loaded here, at the first visit: programs need none of them."""
    from app.console.application import ConsoleApplication
    from app.console.parts import ConsoleParts
    from app.control.relay_watch import RelayWatches

    guard, open_bodies, links, settings = parts.guard, parts.open_bodies, parts.links, gateway.settings
    assert guard is not None and open_bodies is not None and links is not None

    async def read_form(request: Request, owner: str) -> UploadedForm:
        with open_bodies.reading(request, owner) as counted:
            return await read_upload_form(counted, parts.body_caps)

    rules = (settings.public_url, settings.member_keys)
    watches = RelayWatches(gateway.relays, gateway.clock, gateway.background)
    return ConsoleApplication(ConsoleParts(gateway, guard, *rules, read_form, links, watches, _sign_on(settings)))


def _sign_on(settings: Settings) -> "SingleSignOn | None":
    if settings.oidc_issuer is None:
        return None
    from app.control.single_sign_on import SingleSignOn

    secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else ""
    rules = (settings.sign_on_domains, settings.roles_by_group)
    return SingleSignOn(settings.oidc_issuer, settings.oidc_client_id, secret, *rules)


def create_administration_app(administration: Administration, actor: Actor) -> ASGIApp:
    """Make an application with only the routes under /organization, which act as `actor` without a key.

    For calls in the process of the command line; never serve it on a socket.
    """
    # None of these routes spools a file, so the directory need not exist.
    body_caps = BodyCaps(spool_directory=administration.data_dir / "spool")
    public_url = administration.settings.public_url
    parts = Parts(administration, None, None, body_caps, public_url=public_url, local_actor=actor)
    return WithParts(_administration_api(), parts)


@cache
def _api() -> FastAPI:
    """Make the routes, once in a process: it costs FastAPI a second of CPU, and they read what differs from `Parts`."""
    api = FastAPI(
        title="imagegate", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None
    )
    install_error_handlers(api)
    for router in PUBLIC:
        api.include_router(router, prefix=V1)
    api.include_router(ops.router)
    install_documentation(api, all_routes)
    return api


def all_routes() -> list[BaseRoute]:
    """Return the routes of the API and of the administration API, which loads its modules."""
    return [*_api().routes, *_administration_api().routes]


@cache
def _administration_api() -> FastAPI:
    """Make the routes of the administration API, once in a process. Their modules are loaded here, at the first call of one: a
    gateway that only sells pictures needs none of them."""
    from app.api.organization.routers import ROUTERS

    api = FastAPI(title="imagegate", version=__version__, redirect_slashes=False, openapi_url=None)
    install_error_handlers(api)
    for router in ROUTERS:
        api.include_router(router, prefix=ADMINISTRATION)
    list(
        iter_route_contexts(api.routes)
    )  # Builds them now, in this thread: FastAPI would at the first request, in the event loop.
    return api


def _body_caps(settings: Settings, data_dir: Path) -> BodyCaps:
    spool_directory = data_dir / "spool"
    spool_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return BodyCaps(
        spool_directory=spool_directory,
        json_bytes_max=settings.json_bytes_max,
        edit_json_bytes_max=settings.upload_bytes_max,
        multipart_bytes_max=settings.upload_bytes_max,
        file_bytes_max=settings.file_bytes_max,
        pixels_max=settings.pixels_max,
        idle_s=settings.body_idle_s,
    )
