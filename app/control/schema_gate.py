"""Checks that a database may be used: its schema is this program's, and its keys were made with this pepper."""

from app.control.installation import claim
from app.errors import ConfigurationError, StoreUnavailable
from app.store.engine import Database
from app.store.schema import SchemaState, schema_state


class SchemaGate:
    """Asked until the answer is yes, then never again. `complaint` is what is wrong, None once nothing is."""

    def __init__(self, database: Database, pepper: bytes, currency: str, timezone: str):
        self._database = database
        self._pepper = pepper
        self._currency = currency
        self._timezone = timezone
        self.complaint: str | None = "The database has not answered yet."

    async def ensure(self) -> None:
        """Raises ConfigurationError when the database must not be used, StoreUnavailable when it does not answer."""
        if self.complaint is None:
            return
        try:
            check_schema(await schema_state(self._database))
            await claim(self._database, self._pepper, self._currency, self._timezone)
        except (ConfigurationError, StoreUnavailable) as exc:
            self.complaint = str(exc)
            raise
        self.complaint = None


def check_schema(state: SchemaState) -> None:
    """Raises ConfigurationError unless the schema is the one this program was written for."""
    check_not_newer(state)
    if not state.up_to_date:
        has = f"of version {state.current}" if state.current else "empty"
        raise ConfigurationError(
            f"The database is {has}, and this imagegate needs version {state.newest}. Run `imagegate db upgrade`."
        )


def check_not_newer(state: SchemaState) -> None:
    """Raises ConfigurationError when a newer imagegate has written the schema."""
    if not state.known:
        raise ConfigurationError(
            f"The database is of version {state.current}, which a newer imagegate has written; this one knows {state.newest} "
            "at most and `imagegate db upgrade` cannot go back. Install the newer imagegate."
        )
