"""What the API's own documentation shows of people, projects, keys and the log: made by the functions that make the answers."""

from typing import Any

from app.api.organization import shapes
from app.store.admin_keys import AdminKeyRecord
from app.store.keys import KeyRecord
from app.store.members import Member
from app.store.organization import Project, User
from app.store.service_accounts import ServiceAccount

AT_MS = 1_795_996_800_000
LATER_MS = AT_MS + 90 * 86_400_000
_LIN = User("user-5f2m0c8b1x7k3v9d4h6j2n0q", "lin", "lin@example.com", AT_MS)
_WEB = Project("proj_3v9d4h6j2n0q5f2m0c8b1x7k", "web", AT_MS)
_CI = ServiceAccount("user-1x7k3v9d4h6j2n0q5f2m0c8b", "ci", _WEB.id, "member", AT_MS, None)
_KEY = KeyRecord(
    id="key_4f8c1n0a2b7m",
    name="laptop",
    user_id=_LIN.id,
    user=_LIN.name,
    project_id=_WEB.id,
    project=_WEB.name,
    last_four="x7Qa",
    models=("seedream-3.0",),
    created_at_ms=AT_MS,
    expires_at_ms=LATER_MS,
    revoked_at_ms=None,
    previous_until_ms=None,
    last_used_at_ms=AT_MS + 60_000,
    user_kind="person",
    user_email=_LIN.email,
    user_created_at_ms=AT_MS,
    owner_disabled=False,
    owner_role="member",
    project_archived=False,
)
_ADMIN_KEY = AdminKeyRecord(
    id="key_9d4h6j2n0q5f",
    name="automation",
    last_four="k3Vm",
    role="owner",
    created_at_ms=AT_MS,
    expires_at_ms=None,
    revoked_at_ms=None,
    user_id=_LIN.id,
    owner_name=_LIN.name,
    owner_email=_LIN.email,
    owner_created_at_ms=AT_MS,
    owner_gone=False,
)
_VALUE = "sk-ig-4f8c1n0a2b7m-..., shown this once"

USER = shapes.user(_LIN)
USER_WITH_PROJECTS = {**USER, "projects": shapes.user_projects([(_WEB.id, _WEB.name, "member")])}
PROJECT = shapes.project(_WEB)
ARCHIVED = shapes.project(Project(_WEB.id, _WEB.name, AT_MS, LATER_MS))
MEMBER = shapes.project_user(Member(_LIN.id, _LIN.name, _LIN.email, "member", AT_MS))
SERVICE_ACCOUNT = shapes.service_account(_CI)
SERVICE_ACCOUNT_OF_ALL = shapes.service_account_of_all(_CI)
SERVICE_ACCOUNT_KEY = shapes.service_account_api_key(_KEY, _VALUE)
SERVICE_ACCOUNT_CREATED = {**SERVICE_ACCOUNT, "api_key": SERVICE_ACCOUNT_KEY}
API_KEY = shapes.project_api_key(_KEY)
API_KEY_OF_ALL = shapes.api_key_of_all(_KEY, AT_MS)
API_KEY_CREATED = {**API_KEY, "value": _VALUE}
API_KEY_ROTATED = {**API_KEY_CREATED, "previous_value_expires_at": AT_MS // 1000 + 86_400}
ADMIN_KEY = shapes.admin_api_key(_ADMIN_KEY)
ADMIN_KEY_CREATED = {**ADMIN_KEY, "value": "sk-ig-admin-9d4h6j2n0q5f-..., shown this once"}
AUDIT_LOG: dict[str, Any] = {
    "object": "organization.audit_log",
    "id": "audit_log-6j2n0q5f2m0c8b1x7k3v9d4h",
    "type": "project.updated",
    "effective_at": AT_MS // 1000,
    "actor": {
        "type": "api_key",
        "api_key": {"id": _ADMIN_KEY.id, "type": "user", "user": {"id": None, "email": _LIN.email}},
        "kind": "admin_api_key",
        "name": _ADMIN_KEY.name,
    },
    "project.updated": {"id": _WEB.id, "changes_requested": {"name": "web"}},
    "event": "project.updated",
    "before": {"name": "site", "archived": False},
    "after": {"name": "web", "archived": False},
    "project": {"id": _WEB.id, "name": _WEB.name},
}


def gone(shape: dict[str, Any]) -> dict[str, Any]:
    """The answer to a DELETE of what looks like this."""
    return shapes.deleted(shape["object"], shape["id"])
