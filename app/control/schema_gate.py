"""Check before a database is used: its schema is this program's, and it is bound to this pepper, currency and timezone."""

from app.chores import Turn
from app.control.installation import claim
from app.control.pepper import Peppers
from app.errors import ConfigurationError, StoreUnavailable
from app.store.engine import Database
from app.store.schema import SchemaState, schema_state


class SchemaGate:
    """Checks a database until it passes once. `problem` is the reason it may not be used, None after it passed; `digest_key` is the
    key of the digests of prompts, known from then on."""

    def __init__(self, database: Database, peppers: Peppers, currency: str, timezone: str):
        self._database = database
        self._peppers = peppers
        self.digest_key = b""
        self._currency = currency
        self._timezone = timezone
        self.problem: str | None = "The database has not answered yet."

    async def ensure(self) -> None:
        """Check, unless it has passed. Raises ConfigurationError for an unfit database, StoreUnavailable when it is away."""
        if self.problem is None:
            return
        try:
            check_schema(await schema_state(self._database))
            self.digest_key = await claim(self._database, self._peppers, self._currency, self._timezone)
        except (ConfigurationError, StoreUnavailable) as exc:
            self.problem = str(exc)
            raise
        self.problem = None

    def when_open(self, turn: Turn) -> Turn:
        """Make a turn that raises StoreUnavailable until the check has passed. It does not check itself: the heartbeat does, so
        that no request is admitted by a process that other replicas do not know yet."""

        async def run() -> None:
            if self.problem is not None:
                raise StoreUnavailable(self.problem)
            await turn()

        return run


def check_schema(state: SchemaState) -> None:
    """Check that the schema is of this program's version. Raises ConfigurationError."""
    check_not_newer(state)
    if not state.up_to_date:
        has = f"of version {state.current}" if state.current else "empty"
        raise ConfigurationError(
            f"The database is {has}, and this imagegate needs version {state.newest}. Run `imagegate db upgrade`."
        )


def check_not_newer(state: SchemaState) -> None:
    """Check that no newer imagegate has written the schema. Raises ConfigurationError."""
    if not state.known:
        raise ConfigurationError(
            f"The database is of version {state.current}, which a newer imagegate has written; this one knows {state.newest} "
            "at most and `imagegate db upgrade` cannot go back. Install the newer imagegate."
        )
