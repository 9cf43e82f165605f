"""The roll-up by day, kept by the database itself: whatever changes `usage` changes both."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

DAY_MS = 86_400_000
KEY = ("api_key_id", "model", "operation", "size", "user_id", "project_id")
SUMS = ("requests", "images", "cost_micros", "input_tokens", "output_tokens")


def upgrade() -> None:
    op.create_table(
        "usage_days",
        sa.Column("day_at_ms", sa.BigInteger(), nullable=False, comment="start of the UTC day"),
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("day_at_ms", *KEY, name=op.f("pk_usage_days")),
        sqlite_with_rowid=False,
    )
    # First the triggers: making them waits for whoever writes, and keeps others from it until all is filled.
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(sa.text(statement))
    op.execute(_FILL)


def _day(row: str) -> str:
    return f"{row}hour_at_ms - {row}hour_at_ms % {DAY_MS}"


_COLUMNS = ", ".join(("day_at_ms", *KEY, *SUMS))
_FILL = f"""
    INSERT INTO usage_days ({_COLUMNS})
    SELECT {_day("")}, {", ".join(KEY)}, {", ".join(f"sum({name})" for name in SUMS)} FROM usage
    GROUP BY {_day("")}, {", ".join(KEY)}
"""  # noqa: S608  (constants only)


def _add(sums: str) -> str:
    """An upsert, also where a row is changed: a day that is missing must not swallow what follows."""
    return f"""
        INSERT INTO usage_days ({_COLUMNS}) VALUES ({_day("NEW.")}, {", ".join(f"NEW.{name}" for name in KEY)}, {sums})
        ON CONFLICT (day_at_ms, {", ".join(KEY)}) DO UPDATE SET
            {", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in SUMS)};
    """  # noqa: S608  (constants only)


_ADD = _add(", ".join(f"NEW.{name}" for name in SUMS))
_CHANGE = _add(", ".join(f"NEW.{name} - OLD.{name}" for name in SUMS))
_OF_ROW = " AND ".join((f"day_at_ms = {_day('OLD.')}", *(f"{name} = OLD.{name}" for name in KEY)))
_TAKE = f"UPDATE usage_days SET {', '.join(f'{name} = {name} - OLD.{name}' for name in SUMS)} WHERE {_OF_ROW};"  # noqa: S608
_SQLITE = (
    f"CREATE TRIGGER usage_added AFTER INSERT ON usage BEGIN {_ADD} END",
    f"CREATE TRIGGER usage_changed AFTER UPDATE ON usage BEGIN {_CHANGE} END",
    f"CREATE TRIGGER usage_taken AFTER DELETE ON usage BEGIN {_TAKE} END",
)
_POSTGRESQL = (
    f"""
    CREATE FUNCTION add_usage_to_day() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN {_ADD}
        ELSIF TG_OP = 'UPDATE' THEN {_CHANGE}
        ELSE {_TAKE}
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER usage_by_day AFTER INSERT OR UPDATE OR DELETE ON usage FOR EACH ROW EXECUTE FUNCTION add_usage_to_day()",
)
