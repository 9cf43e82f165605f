"""Binding of a database to its pepper, currency and timezone; creation of its first user and key."""

from dataclasses import dataclass

from app.control.invitations import NewInvitation, new_invitation
from app.control.keys import KeyFacts, add_key
from app.control.limits import LimitChange, apply_limits
from app.control.people import add_user
from app.control.pepper import FILE, Peppers, PepperSettings, fingerprint, load_pepper, load_peppers
from app.control.projects import DEFAULT_PROJECT, get_project
from app.control.secret_change import digest_key, is_settled, settle
from app.core.ids import new_id
from app.errors import ConfigurationError
from app.store import organization
from app.store.engine import Database
from app.store.organization import BookBinding, User

FIRST_USER = "me"
FIRST_SPEND_MICROS = 20_000_000
FIRST_REQUESTS_PER_MINUTE = 10
FIRST_LIMITS = (
    LimitChange("micros", "month", FIRST_SPEND_MICROS),
    LimitChange("requests", "minute", FIRST_REQUESTS_PER_MINUTE),
)


@dataclass(frozen=True, slots=True)
class FirstKey:
    """First user and key. `key` is the secret. The user's limits are those of this module: 20.00 a month, 10 requests a minute.
    `invitation` lets them sign in, as the owner of the installation."""

    user: str
    id: str
    key: str
    invitation: NewInvitation
    spend_micros_per_month: int = FIRST_SPEND_MICROS
    requests_per_minute: int = FIRST_REQUESTS_PER_MINUTE


async def claim(database: Database, peppers: Peppers, currency: str, timezone: str) -> bytes:
    """Bind a new database to its pepper, currency and timezone, or compare them with what it is bound to; returns the key of the
    digests of prompts. A database that is bound to the former pepper is bound to the current one.

    Raises ConfigurationError, naming the cure, where they differ. Writes only the first time, and when the secret changes.
    """
    found = await database.ask(organization.book_binding)
    if found.pepper_fingerprint is not None:
        _check_pepper(database, found, peppers)
    is_bound = None not in (found.pepper_fingerprint, found.currency, found.timezone)
    if not is_bound or not is_settled(found, peppers):
        async with database.write() as connection:
            await organization.bind_book(connection, fingerprint(peppers.current), currency, timezone)
            await settle(connection, await organization.book_binding(connection), peppers)
            found = await organization.book_binding(connection)
    _check_pepper(database, found, peppers)
    _check_currency(database, found, currency)
    _check_timezone(database, found, timezone)
    return digest_key(found, peppers)


async def pepper_here(database: Database, settings: PepperSettings, currency: str, timezone: str) -> bytes:
    """Return the pepper that a database is bound to; empty where it is not on this machine. A database without one is bound to a
    new one.

    Raises ConfigurationError for a secret that is short or a placeholder.
    """
    found = await database.ask(organization.book_binding)
    if found.pepper_fingerprint is None:
        pepper = load_pepper(settings)
        async with database.write() as connection:
            await organization.bind_book(connection, fingerprint(pepper), currency, timezone)
        return pepper
    if settings.secret_key is None and not (settings.data_dir.absolute() / FILE).exists():
        return b""
    return load_peppers(settings).of(found.pepper_fingerprint) or b""


async def check_binding(database: Database, currency: str, timezone: str) -> None:
    """Check currency and timezone against those the database is bound to. Raises ConfigurationError."""
    found = await database.ask(organization.book_binding)
    _check_currency(database, found, currency)
    _check_timezone(database, found, timezone)


async def first_key(database: Database, pepper: bytes) -> FirstKey | None:
    """Create the first user with a key and low limits. None when there is a user already."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        if await organization.any_user(connection):
            return None
    async with database.write() as connection:
        if await organization.any_user(connection):
            return None
        user = User(new_id("user-"), FIRST_USER, None, now_ms, role="owner", access_role="owner")
        await add_user(connection, user)
        project = await get_project(connection, DEFAULT_PROJECT)
        created = await add_key(connection, pepper, user, project, KeyFacts("first key", None, now_ms, None))
        await apply_limits(connection, "user", user.id, None, FIRST_LIMITS)
        invitation = await new_invitation(connection, user, now_ms)
    return FirstKey(FIRST_USER, created.id, created.key, invitation)


def _check_pepper(database: Database, found: BookBinding, peppers: Peppers) -> None:
    if peppers.of(found.pepper_fingerprint) is None:
        raise ConfigurationError(
            f"The secret is not the one the keys of {database.where.public} were made with: none of them would work. Put "
            "back the IMAGEGATE_SECRET_KEY or the file secret_key that belongs to this database; to change it, put that one into "
            "IMAGEGATE_SECRET_KEY_OLD."
        )


def _check_currency(database: Database, found: BookBinding, currency: str) -> None:
    if found.currency not in (None, currency):
        raise ConfigurationError(
            f"The book in {database.where.public} is in {found.currency}, and IMAGEGATE_CURRENCY says {currency}. Nothing is "
            f"ever converted: set IMAGEGATE_CURRENCY={found.currency}, or begin a new book in a new database."
        )


def _check_timezone(database: Database, found: BookBinding, timezone: str) -> None:
    if found.timezone not in (None, timezone):
        raise ConfigurationError(
            f"The book in {database.where.public} counts days, weeks and months in {found.timezone}, and IMAGEGATE_TIMEZONE says "
            f"{timezone}. Limits would begin anew in the middle of them: set IMAGEGATE_TIMEZONE={found.timezone}, or begin a new "
            "book in a new database."
        )
