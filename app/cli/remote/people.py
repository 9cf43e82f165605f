"""Users, projects, service accounts and admin keys of a gateway elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.cli.remote.client import Client
from app.cli.remote.times import at_ms, required_ms
from app.control.admin_keys import AdminKeyRecord, NewAdminKey
from app.control.keys import CreatedKey
from app.store.organization import Project, User
from app.store.service_accounts import ServiceAccount


class Users:
    client: Client

    async def create_user(self, name: str, email: str | None) -> User:
        return _user(await self.client.post("users", name=name, email=email))

    async def list_users(self) -> Sequence[User]:
        """By name, as here; the API lists them by creation."""
        return sorted([_user(each) async for each in self.client.every("users")], key=lambda user: user.name)

    async def disable_user(self, user: str) -> User:
        return _user(await self.client.post("users", user, disabled=True))

    async def enable_user(self, user: str) -> User:
        return _user(await self.client.post("users", user, disabled=False))

    async def delete_user(self, user: str) -> User:
        found = _user(await self.client.get("users", user))
        await self.client.delete("users", found.id)
        return found


class Projects:
    client: Client

    async def create_project(self, name: str) -> Project:
        return _project(await self.client.post("projects", name=name))

    async def list_projects(self) -> Sequence[Project]:
        """By name, as here."""
        found = [_project(each) async for each in self.client.every("projects", include_archived=True)]
        return sorted(found, key=lambda project: project.name)

    async def archive_project(self, project: str) -> Project:
        return _project(await self.client.post("projects", project, "archive"))

    async def create_service_account(self, project: str, name: str) -> tuple[ServiceAccount, CreatedKey]:
        project_id = (await self.client.get("projects", project))["id"]
        made = await self.client.post("projects", project_id, "service_accounts", name=name)
        return _account(made, project_id), CreatedKey(made["api_key"]["id"], made["api_key"]["value"])

    async def list_service_accounts(self, project: str | None) -> Sequence[ServiceAccount]:
        found = self.client.every("service_accounts", project=project)
        return [_account(each, each["project_id"]) async for each in found]

    async def delete_service_account(self, project: str, account_id: str) -> ServiceAccount:
        project_id = (await self.client.get("projects", project))["id"]
        path = ("projects", project_id, "service_accounts", account_id)
        found = _account(await self.client.get(*path), project_id)
        await self.client.delete(*path)
        return replace(found, role=None)


class AdminKeys:
    client: Client

    async def create_admin_key(self, wanted: NewAdminKey) -> CreatedKey:
        """Without a user it belongs to whom the key that makes it belongs to."""
        made = await self.client.post("admin_api_keys", name=wanted.name, role=wanted.role, user_id=wanted.user)
        return CreatedKey(made["id"], made["value"])

    async def list_admin_keys(self) -> Sequence[AdminKeyRecord]:
        return [_admin_key(each) async for each in self.client.every("admin_api_keys")]

    async def revoke_admin_key(self, key_id: str) -> AdminKeyRecord:
        found = _admin_key(await self.client.get("admin_api_keys", key_id))
        await self.client.delete("admin_api_keys", key_id)
        return replace(found, revoked_at_ms=int(time.time() * 1000))


def _user(found: Any) -> User:
    return User(
        found["id"], found["name"], found["email"], required_ms(found["added_at"]), at_ms(found["user"]["banned_at"])
    )


def _project(found: Any) -> Project:
    return Project(found["id"], found["name"], required_ms(found["created_at"]), at_ms(found["archived_at"]))


def _account(found: Any, project_id: str) -> ServiceAccount:
    role = None if found["role"] == "none" else found["role"]
    return ServiceAccount(found["id"], found["name"], project_id, role, required_ms(found["created_at"]), None)


def _admin_key(found: Any) -> AdminKeyRecord:
    owner = found["owner"]
    return AdminKeyRecord(
        id=found["id"],
        name=found["name"],
        last_four=found["redacted_value"][-4:],
        role=found["role"],
        created_at_ms=required_ms(found["created_at"]),
        expires_at_ms=at_ms(found["expires_at"]),
        revoked_at_ms=None,
        user_id=owner["id"],
        owner_name=owner["name"],
        owner_email=None,
        owner_created_at_ms=at_ms(owner["created_at"]),
        owner_gone=False,
    )
