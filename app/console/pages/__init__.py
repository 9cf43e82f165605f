"""Pages of the console. A page is a module here with `routes` (method, path below /console, handler), a template and a test."""

from app.console.pages import (
    account,
    create,
    edit,
    home,
    invite,
    job,
    keys,
    limits,
    oidc,
    people,
    people_invite,
    pictures,
    projects,
    sign_in,
    usage,
)

ROUTES = (
    *home.routes,
    *sign_in.routes,
    *oidc.routes,
    *invite.routes,
    *account.routes,
    *create.routes,
    *edit.routes,
    *job.routes,
    *pictures.routes,
    *usage.routes,
    *keys.routes,
    *people_invite.routes,
    *people.routes,
    *projects.routes,
    *limits.routes,
)
