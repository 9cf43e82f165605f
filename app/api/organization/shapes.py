"""How our records look as OpenAI's objects. One function for each object, named like it; each returns a plain dict.

Conventions: `object` says what it is, instants end in `_at` and are whole seconds, a secret is there only in the answer that
made it (`value`), otherwise `redacted_value`. Fields that OpenAI does not have stand last, after `# ours`.
"""

from typing import Any

from app.store.admin_keys import AdminKeyRecord
from app.store.keys import KeyRecord
from app.store.members import Member
from app.store.organization import Project, User
from app.store.service_accounts import ServiceAccount

Shape = dict[str, Any]


def seconds(at_ms: int | None) -> int | None:
    """An instant as OpenAI writes it."""
    return None if at_ms is None else at_ms // 1000


def deleted(object: str, id: str) -> Shape:
    """The answer to a DELETE; `object` without `.deleted`."""
    return {"id": id, "object": f"{object}.deleted", "deleted": True}


def admin_api_key(key: AdminKeyRecord) -> Shape:
    return {
        "object": "organization.admin_api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": f"sk-ig-admin-...{key.last_four}",
        "created_at": seconds(key.created_at_ms),
        "expires_at": seconds(key.expires_at_ms),
        "last_used_at": None,
        "owner": {
            "type": "user",
            "object": "organization.user",
            "id": key.user_id,
            "name": key.owner_name,
            "created_at": seconds(key.owner_created_at_ms),
            "role": "owner",
        },
        "role": key.role,  # ours
    }


def user(user: User) -> Shape:
    banned_at = seconds(user.disabled_at_ms)
    return {
        "object": "organization.user",
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "added_at": seconds(user.created_at_ms),
        "created": seconds(user.created_at_ms),
        "is_default": False,
        "is_service_account": user.is_service_account,
        "is_scim_managed": False,
        "user": {
            "object": "user",
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "enabled": user.disabled_at_ms is None,
            "banned": user.disabled_at_ms is not None,
            "banned_at": banned_at,
            "picture": None,
        },
        "disabled": user.disabled_at_ms is not None,  # ours
    }


def user_projects(projects: list[tuple[str, str, str]]) -> Shape:
    return {"object": "list", "data": [{"id": id, "name": name, "role": role} for id, name, role in projects]}


def project(project: Project) -> Shape:
    return {
        "object": "organization.project",
        "id": project.id,
        "name": project.name,
        "created_at": seconds(project.created_at_ms),
        "archived_at": seconds(project.archived_at_ms),
        "status": "active" if project.archived_at_ms is None else "archived",
        "external_key_id": None,
        "residency": None,
    }


def project_user(member: Member) -> Shape:
    return {
        "object": "organization.project.user",
        "id": member.id,
        "name": member.name,
        "email": member.email,
        "role": member.role,
        "added_at": seconds(member.added_at_ms),
    }


def service_account(account: ServiceAccount) -> Shape:
    return {
        "object": "organization.project.service_account",
        "id": account.id,
        "name": account.name,
        "role": account.role or "none",
        "created_at": seconds(account.created_at_ms),
    }


def service_account_of_all(account: ServiceAccount) -> Shape:
    """Among those of all projects."""
    return {**service_account(account), "project_id": account.project_id}


def service_account_api_key(key: KeyRecord, value: str) -> Shape:
    return {
        "object": "organization.project.service_account.api_key",
        "id": key.id,
        "name": key.name,
        "created_at": seconds(key.created_at_ms),
        "expires_at": seconds(key.expires_at_ms),
        "value": value,
        "scopes": _scopes(key),  # ours
    }


def project_api_key(key: KeyRecord) -> Shape:
    return {
        "object": "organization.project.api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": f"sk-ig-...{key.last_four}",
        "created_at": seconds(key.created_at_ms),
        "last_used_at": seconds(key.last_used_at_ms),
        "expires_at": seconds(key.expires_at_ms),
        "owner": _owner(key),
        "owner_project_access": "active" if key.owner_has_access else "inactive",
        "models": None if key.models is None else list(key.models),  # ours, down to the end
        "scopes": _scopes(key),
        "previous_value_expires_at": seconds(key.previous_until_ms),
    }


def api_key_of_all(key: KeyRecord, now_ms: int) -> Shape:
    """Among those of all projects, revoked ones too."""
    return {
        **project_api_key(key),
        "project": {"id": key.project_id, "name": key.project},
        "status": key.status_at(now_ms),
        "revoked_at": seconds(key.revoked_at_ms),
    }


def _scopes(key: KeyRecord) -> list[str]:
    """What the key may do, whatever was asked for."""
    return ["api.all.read"] if key.models == () else []


def _owner(key: KeyRecord) -> Shape:
    owner: Shape = {
        "id": key.user_id,
        "name": key.user,
        "created_at": seconds(key.user_created_at_ms),
        "role": key.owner_role or "none",
    }
    if key.user_kind == "service_account":
        return {"type": "service_account", "service_account": owner}
    return {"type": "user", "user": {**owner, "email": key.user_email or ""}}  # OpenAI's is never null.
