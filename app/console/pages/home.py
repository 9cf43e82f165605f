"""Entry of the console, the search in its frame, and the choice of language and theme."""

import re

from starlette.responses import Response

from app.console.language import LANGUAGES
from app.console.navigation import has_page, landing
from app.console.pages.welcome import wants_welcome
from app.console.visit import (
    LANGUAGE_COOKIE,
    PREFERENCE_S,
    THEME_COOKIE,
    THEMES,
    Visit,
    local_path,
    signed_in,
)
from app.control.keys import KeyFilter, page_of_keys
from app.control.people_lists import page_of_people
from app.store.pages import Cursor
from app.store.people_lists import PeopleFilter

_REQUEST = re.compile(r"req_[0-9a-f]{28}")
_PICTURE = re.compile(r"req_[0-9a-f]{28}_\d{1,3}")
_SECRET = re.compile(r"sk-ig-(?:([a-z0-9]{1,12})(?:-.*)?|\.\.\.(\w{4}))")
"""Secret of a key, its beginning, or its form in lists."""


async def enter(visit: Visit) -> Response:
    """Lead a person to the page that their role begins with, and the owner of a new installation to the first steps."""
    if await wants_welcome(visit):
        return visit.redirect("/welcome")
    return visit.redirect(landing(visit.role))


async def search(visit: Visit) -> Response:
    """Lead to what was searched for: a request or a picture by id, a key by secret, id, ending, name or owner, a person, or what
    was made with these words."""
    text = visit.query.get("q", "").strip()[:200]
    if _PICTURE.fullmatch(text):
        return visit.redirect(f"/pictures/{text}")
    if _REQUEST.fullmatch(text):
        return visit.redirect(f"/requests/{text}")
    if secret := _SECRET.fullmatch(text):  # Only its public part goes into an address.
        return visit.redirect("/keys", q=f"key_{secret[1]}" if secret[1] else secret[2])
    if text and has_page(visit, "/people") and not text.startswith("key_"):
        found = await page_of_people(
            visit.database, visit.parts.gateway.zone, Cursor(limit=2), PeopleFilter(text, None)
        )
        if len(found.records) == 1:
            return visit.redirect(f"/people/{found.records[0].user.id}")
        if found.records:
            return visit.redirect("/people", q=text, status="all")
    if not text or text.startswith("key_") or await _is_of_keys(visit, text):
        return visit.redirect("/keys", q=text)
    return visit.redirect("/requests" if has_page(visit, "/requests") else "/pictures", q=text)


async def _is_of_keys(visit: Visit, text: str) -> bool:
    user = None if visit.sees_all else visit.user.user_id
    wanted = KeyFilter(user=user, status="active", words=text)
    return bool((await page_of_keys(visit.database, Cursor(limit=1), wanted)).records)


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
