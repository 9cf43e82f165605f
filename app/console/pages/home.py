"""Entry of the console, the search in its frame, and the choice of language and theme."""

from starlette.responses import Response

from app.console.language import LANGUAGES
from app.console.navigation import landing
from app.console.visit import (
    LANGUAGE_COOKIE,
    PREFERENCE_S,
    THEME_COOKIE,
    THEMES,
    Visit,
    local_path,
    signed_in,
)


async def enter(visit: Visit) -> Response:
    """Lead a person to the page that their role begins with."""
    return visit.redirect(landing(visit.role))


async def search(visit: Visit) -> Response:
    """Lead to what was searched for: keys by id, ending, name or owner."""
    return visit.redirect("/keys", q=visit.query.get("q", "").strip()[:200])


async def set_preferences(visit: Visit) -> Response:
    """Remember language or theme in a cookie, for people who are not signed in, too."""
    form = await visit.form()
    path = local_path(form.get("next", ""))
    answer = visit.redirect(path)
    for name, values, cookie in (("language", LANGUAGES, LANGUAGE_COOKIE), ("theme", THEMES, THEME_COOKIE)):
        if form.get(name) in values:
            visit.set_cookie(answer, cookie, form[name], PREFERENCE_S)
    return answer


routes = (
    ("GET", "", signed_in(enter)),
    ("GET", "/search", signed_in(search)),
    ("POST", "/preferences", set_preferences),
)
