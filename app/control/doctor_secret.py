"""Check of the installation's secret, while it is being changed and after."""

from app.control.findings import Finding
from app.control.pepper import Peppers, fingerprint
from app.control.relay_keys import is_readable
from app.store.engine import Database
from app.store.relays import list_relays
from app.store.secret_change import count_under_others

_CHECK = "secret key"


async def check_secret_change(database: Database, peppers: Peppers) -> Finding:
    """Count the keys that still stand under another secret than the current one."""
    if (finding := await _check_relay_keys(database, peppers)) is not None:
        return finding
    now_ms = await database.now_ms()
    left = await count_under_others(database, fingerprint(peppers.current), now_ms)
    if left and peppers.former is not None:
        message = (
            f"It is being changed: {left} keys still stand under IMAGEGATE_SECRET_KEY_OLD. Each moves when it is used next; rotate "
            "those that nobody uses, or let them go. Then take that setting away."
        )
        return Finding(_CHECK, "warning", message)
    if left:
        message = (
            f"{left} keys were made with an earlier secret, and do not work. Put that into IMAGEGATE_SECRET_KEY_OLD, or rotate "
            "them: `imagegate keys rotate KEY_ID`"
        )
        return Finding(_CHECK, "warning", message)
    if peppers.former is not None:
        message = (
            "No key stands under IMAGEGATE_SECRET_KEY_OLD any more: take it away once links made before have expired."
        )
        return Finding(_CHECK, "warning", message)
    return Finding(_CHECK, "ok", "The one the API keys depend on. Keep a copy apart from the database.")


async def _check_relay_keys(database: Database, peppers: Peppers) -> Finding | None:
    """Name the relays whose keys the current secret does not read."""
    async with database.read() as connection:
        relays = (await list_relays(connection)).values()
    unread = [relay for relay in relays if not is_readable(Peppers(peppers.current), relay)]
    if not unread:
        return None
    names, cure = (
        ", ".join(relay.name for relay in unread),
        f"`imagegate relays replace-key {unread[0].name} --key-stdin`",
    )
    if all(is_readable(peppers, relay) for relay in unread):
        message = f"Only IMAGEGATE_SECRET_KEY_OLD reads the keys of relays ({names}). Set each again: {cure}"
    else:
        message = f"It does not read the keys of relays ({names}): they get no requests. Set each again: {cure}"
    return Finding(_CHECK, "warning", message)
