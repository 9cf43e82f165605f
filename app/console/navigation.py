"""Pages in the navigation. A page that is added to the console is listed here, for the roles that may see it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.console.language import marked as _
from app.core.actors import AccessRole

if TYPE_CHECKING:
    from app.console.visit import Visit

STAFF: tuple[AccessRole, ...] = ("owner", "reader")
EVERYBODY: tuple[AccessRole, ...] = ("owner", "reader", "member")


@dataclass(frozen=True, slots=True)
class Destination:
    """Entry of the navigation: path below /console, English label, and the name of its icon in `icons.html`."""

    path: str
    label: str
    icon: str
    roles: tuple[AccessRole, ...] = EVERYBODY
    is_here: bool = False
    also: str = "-"
    """Path of pages that belong to this one."""


DESTINATIONS = (
    Destination("/overview", _("Overview"), "overview", STAFF),
    Destination("/create", _("Create"), "create", ("owner", "member")),
    Destination("/pictures", _("Pictures"), "pictures"),
    Destination("/requests", _("Requests"), "requests", STAFF),
    Destination("/usage", _("Usage"), "usage", also="/statement"),
    Destination("/keys", _("Keys"), "keys"),
    Destination("/people", _("People"), "people", STAFF, also="/projects"),
    Destination("/limits", _("Limits"), "limits"),
    Destination("/models", _("Models"), "models", STAFF),
    Destination("/relays", _("Relays"), "relays", STAFF),
    Destination("/alerts", _("Alerts"), "alerts", STAFF),
    Destination("/audit", _("Audit"), "audit", STAFF),
    Destination("/settings", _("Settings"), "settings", STAFF),
)


def destinations(visit: "Visit") -> list[Destination]:
    """List the entries for whoever is signed in; none for nobody."""
    if visit.session is None:
        return []
    return [
        Destination(each.path, each.label, each.icon, each.roles, visit.here.startswith((each.path, each.also)))
        for each in DESTINATIONS
        if visit.role in each.roles
    ]


def has_page(visit: "Visit", path: str) -> bool:
    """Return whether there is such an entry for whoever is signed in."""
    return any(each.path == path for each in destinations(visit))


def landing(role: AccessRole) -> str:
    """Return the page that a person of this role sees first."""
    return {"owner": "/overview", "reader": "/usage", "member": "/create"}[role]
