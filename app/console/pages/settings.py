"""Page of the installation: settings that may be seen, retention, disk, versions, and what the doctor finds."""

import asyncio
import shutil
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr
from starlette.responses import Response

from app.console.language import translate_finding
from app.console.visit import Visit, signed_in
from app.store.pictures import PictureRows
from app.store.schema import schema_state

HIDDEN = ("results_access_key_id", "oidc_client_id", "smtp_user")
"""Settings that are no secrets and that help whoever has one: shown as set or not set."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """Setting for people. `value` is None for a secret and for what is not set; `is_set` tells the two apart. `is_own` is False
    where it is the default."""

    name: str
    value: str | None
    is_set: bool
    is_own: bool


async def show_settings(visit: Visit) -> Response:
    """Show the installation. `examine` in the address runs the doctor, which takes seconds and changes nothing."""
    gateway = visit.parts.gateway
    settings = gateway.settings
    findings = await gateway.doctor.examine() if "examine" in visit.query else None
    return visit.render(
        "settings.html",
        rows=setting_rows(settings),
        findings=findings,
        finding_text=partial(translate_finding, visit.language),
        disk=await asyncio.to_thread(shutil.disk_usage, gateway.data_dir),
        pictures_bytes=await PictureRows(visit.database).total_bytes(),
        settings=settings,
        database=visit.database.where.public,
        data_dir=str(gateway.data_dir),
        schema=(await schema_state(visit.database)).current,
    )


def setting_rows(settings: BaseModel) -> list[SettingRow]:
    """List every setting by its name in the environment. Secrets are never part of it."""
    return [
        _row(name, getattr(settings, name), field.get_default()) for name, field in type(settings).model_fields.items()
    ]


def _row(name: str, value: Any, default: Any) -> SettingRow:
    is_set = value not in (None, "")
    is_secret = isinstance(value, SecretStr) or name in HIDDEN
    shown = _text(value) if is_set and not is_secret else None
    return SettingRow(f"IMAGEGATE_{name.upper()}", shown, is_set, value != default)


def _text(value: Any) -> str:
    """Write a value as it stands in the environment. User and password of an address are left out."""
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    if "://" in text and "@" in text:
        parts = urlsplit(text)
        return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
    return text


routes = (("GET", "/settings", signed_in(show_settings, "owner", "reader")),)
