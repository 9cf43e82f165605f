"""What commands ask for, done in the database beside them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.cli.administration import ShownKey
from app.cli.context import Home
from app.cli.database import opened
from app.control import (
    admin_keys,
    audit_logs,
    installation,
    keys,
    leaving,
    limits,
    models,
    people,
    price_files,
    price_import,
    prices,
    projects,
    service_accounts,
    usage,
)
from app.control.admin_keys import AdminKeyRecord, NewAdminKey
from app.control.audit_logs import AuditLogFilter, LoggedChange
from app.control.keys import CreatedKey, NewApiKey
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.control.models import ModelRow, ModelRule
from app.control.price_files import DocumentFormat
from app.control.price_import import PriceImport
from app.control.prices import ListedPrice, PriceEntry
from app.control.service_accounts import NewServiceAccount
from app.control.usage import UsageReport
from app.core.alerts import Alert
from app.settings import Settings
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.organization import Project, User
from app.store.pages import Cursor
from app.store.service_accounts import ServiceAccount

if TYPE_CHECKING:
    from app.control.alerts import NewAlert


@asynccontextmanager
async def local(home: Home) -> "AsyncIterator[Local]":
    """Raises ConfigurationError for a database that is not there or not up to date."""
    async with opened(home) as database:
        yield Local(database, home.settings)


@dataclass(frozen=True, slots=True)
class Local:
    database: Database
    settings: Settings

    async def create_user(self, name: str, email: str | None) -> User:
        return await people.create_user(self.database, name, email)

    async def list_users(self) -> Sequence[User]:
        return await people.list_users(self.database)

    async def disable_user(self, user: str) -> User:
        return await people.disable_user(self.database, user)

    async def enable_user(self, user: str) -> User:
        return await people.enable_user(self.database, user)

    async def delete_user(self, user: str) -> User:
        return await leaving.delete_user(self.database, user)

    async def create_project(self, name: str) -> Project:
        return await projects.create_project(self.database, name)

    async def list_projects(self) -> Sequence[Project]:
        return await projects.list_projects(self.database)

    async def archive_project(self, project: str) -> Project:
        return await projects.archive_project(self.database, project)

    async def create_service_account(self, project: str, name: str) -> tuple[ServiceAccount, CreatedKey]:
        pepper, wanted = await self._pepper(), NewServiceAccount(name)
        account, key = await service_accounts.create_service_account(self.database, pepper, project, wanted)
        assert key is not None
        return account, key

    async def list_service_accounts(self, project: str | None) -> Sequence[ServiceAccount]:
        return await service_accounts.list_service_accounts(self.database, project)

    async def delete_service_account(self, project: str, account_id: str) -> ServiceAccount:
        return await service_accounts.delete_service_account(self.database, project, account_id)

    async def create_key(self, wanted: NewApiKey) -> CreatedKey:
        return await keys.create_key(self.database, await self._pepper(), self.settings.zone, wanted)

    async def list_keys(self) -> Sequence[ShownKey]:
        now_ms = await self.database.now_ms()
        return [_shown(key, now_ms) for key in await keys.list_keys(self.database)]

    async def show_key(self, key_id: str) -> ShownKey:
        return _shown(await keys.show_key(self.database, key_id), await self.database.now_ms())

    async def revoke_key(self, key_id: str) -> ShownKey:
        return _shown(await keys.revoke_key(self.database, key_id), await self.database.now_ms())

    async def rotate_key(self, key_id: str, grace_s: int) -> CreatedKey:
        return await keys.rotate_key(self.database, await self._pepper(), key_id, grace_s)

    async def create_admin_key(self, wanted: NewAdminKey) -> CreatedKey:
        return await admin_keys.create_admin_key(self.database, await self._pepper(), wanted)

    async def list_admin_keys(self) -> Sequence[AdminKeyRecord]:
        return await admin_keys.all_admin_keys(self.database)

    async def revoke_admin_key(self, key_id: str) -> AdminKeyRecord:
        return await admin_keys.revoke_admin_key(self.database, key_id)

    async def show_limits(self, where: ScopeRef | None, model: str | None) -> Sequence[LimitState]:
        return await limits.show_limits(self.database, self.settings.zone, where, model)

    async def set_limits(
        self, where: ScopeRef, model: str | None, changes: Sequence[LimitChange]
    ) -> Sequence[LimitState]:
        return await limits.set_limits(self.database, self.settings.zone, where, model, changes)

    async def list_models(self, project: str | None) -> Sequence[ModelRow]:
        return await models.list_models(self.database, project)

    async def set_model_rule(self, project: str, rule: ModelRule | None) -> None:
        if rule is None:
            await models.remove_rule(self.database, project)
        else:
            await models.set_rule(self.database, project, rule.mode, rule.models)

    # Alerts bring what sends them, and it all the parts of a gateway: a second, for these commands only.

    async def create_alert(self, wanted: "NewAlert") -> Alert:
        from app.administration import notifier_from
        from app.control import alerts

        return await alerts.create_alert(self.database, notifier_from(self.settings), wanted)

    async def list_alerts(self) -> Sequence[Alert]:
        from app.control import alerts

        return await alerts.list_alerts(self.database)

    async def delete_alert(self, alert_id: str) -> Alert:
        from app.control import alerts

        return await alerts.delete_alert(self.database, alert_id)

    async def list_prices(self) -> Sequence[ListedPrice]:
        return await prices.list_prices(self.database)

    async def set_price(self, wanted: PriceEntry) -> ListedPrice:
        return await prices.set_price(self.database, self.settings.zone, wanted)

    async def export_prices(self, format: DocumentFormat) -> str:
        listed = await prices.list_prices(self.database)
        return price_files.write_document(listed, format, self.settings.zone, self.settings.currency)

    async def import_prices(self, text: str, format: DocumentFormat, *, dry_run: bool) -> PriceImport:
        entries = price_files.read_document(text, format, self.settings.currency)
        return await price_import.import_prices(self.database, self.settings.zone, entries, dry_run=dry_run)

    async def usage(self, by: Sequence[str], since: str | None, until: str | None) -> UsageReport:
        return await usage.report(self.database, by, since, until)

    async def changes(self, count: int, events: Sequence[str], targets: Sequence[str]) -> Sequence[LoggedChange]:
        cursor = Cursor(limit=count, descending=True)
        wanted = AuditLogFilter(events=events, target_ids=targets)
        return (await audit_logs.page_of_changes(self.database, cursor, wanted)).records

    async def _pepper(self) -> bytes:
        """Of a new database: made, and bound to it."""
        pepper = installation.load_pepper(self.settings)
        await installation.claim(self.database, pepper, self.settings.currency, self.settings.timezone)
        return pepper


def _shown(key: KeyRecord, now_ms: int) -> ShownKey:
    same = {name: getattr(key, name) for name in ShownKey.__slots__ if name != "status"}
    return ShownKey(**same, status=key.status_at(now_ms))
