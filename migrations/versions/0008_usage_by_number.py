"""Roll-ups by hour and by day for reports, by a number for everything they group by; kept by the database itself."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

WIDTHS_MS = {"hour": 3_600_000, "day": 86_400_000}
KEY = ("user_id", "api_key_id", "project_id", "model", "operation", "size")
SUMS = ("requests", "images", "cost_micros", "input_tokens", "output_tokens")


def upgrade() -> None:
    # First the triggers: changing them waits for whoever writes, and keeps others from it until all is filled.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    _run(_BEFORE_SQLITE if is_sqlite else _BEFORE_POSTGRESQL)
    op.drop_table("usage_days")
    op.create_table(
        "usage_series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_series")),
        sa.UniqueConstraint(*KEY, name=op.f(f"uq_usage_series_{'_'.join(KEY)}")),
    )
    for width in WIDTHS_MS:
        _create_roll_up(width)
    _run(_TRIGGERS_SQLITE if is_sqlite else _TRIGGERS_POSTGRESQL)
    _run(_FILL)


def _run(statements: tuple[str, ...]) -> None:
    for statement in statements:
        op.execute(sa.text(statement))


def _create_roll_up(width: str) -> None:
    op.create_table(
        f"usage_{width}s",
        sa.Column(f"{width}_at_ms", sa.BigInteger(), nullable=False, comment=f"start of the UTC {width}"),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint(f"{width}_at_ms", "series_id", name=op.f(f"pk_usage_{width}s")),
        sqlite_with_rowid=False,
    )


def _start(width: str, row: str) -> str:
    return f"{row}hour_at_ms - {row}hour_at_ms % {WIDTHS_MS[width]}"


def _is_of(row: str) -> str:
    return " AND ".join(f"s.{name} = {row}.{name}" for name in KEY)


_KEY, _SUMS = ", ".join(KEY), ", ".join(SUMS)
_NUMBER = f"""
    INSERT INTO usage_series ({_KEY}) SELECT {", ".join(f"NEW.{name}" for name in KEY)}
    WHERE NOT EXISTS (SELECT 1 FROM usage_series s WHERE {_is_of("NEW")}) ON CONFLICT DO NOTHING;
"""  # noqa: S608  (constants only)


def _add(width: str, sums: str) -> str:
    """An upsert, also where a row is changed: an hour or a day that is missing must not swallow what follows."""
    return f"""
        INSERT INTO usage_{width}s ({width}_at_ms, series_id, {_SUMS})
        SELECT {_start(width, "NEW.")}, s.id, {sums} FROM usage_series s WHERE {_is_of("NEW")}
        ON CONFLICT ({width}_at_ms, series_id) DO UPDATE SET
            {", ".join(f"{name} = usage_{width}s.{name} + excluded.{name}" for name in SUMS)};
    """  # noqa: S608  (constants only)


def _take(width: str) -> str:
    return f"""
        UPDATE usage_{width}s SET {", ".join(f"{name} = {name} - OLD.{name}" for name in SUMS)}
        WHERE {width}_at_ms = {_start(width, "OLD.")}
            AND series_id = (SELECT s.id FROM usage_series s WHERE {_is_of("OLD")});
    """  # noqa: S608  (constants only)


_ADD = _NUMBER + "".join(_add(width, ", ".join(f"NEW.{name}" for name in SUMS)) for width in WIDTHS_MS)
_CHANGE = _NUMBER + "".join(_add(width, ", ".join(f"NEW.{name} - OLD.{name}" for name in SUMS)) for width in WIDTHS_MS)
_TAKE = "".join(map(_take, WIDTHS_MS))
_BEFORE_SQLITE = tuple(f"DROP TRIGGER {name}" for name in ("usage_added", "usage_changed", "usage_taken"))
_BEFORE_POSTGRESQL = ("DROP TRIGGER usage_by_day ON usage", "DROP FUNCTION add_usage_to_day()")
_TRIGGERS_SQLITE = (
    f"CREATE TRIGGER usage_added AFTER INSERT ON usage BEGIN {_ADD} END",
    f"CREATE TRIGGER usage_changed AFTER UPDATE ON usage BEGIN {_CHANGE} END",
    f"CREATE TRIGGER usage_taken AFTER DELETE ON usage BEGIN {_TAKE} END",
)
_TRIGGERS_POSTGRESQL = (
    f"""
    CREATE FUNCTION roll_up_usage() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN {_ADD}
        ELSIF TG_OP = 'UPDATE' THEN {_CHANGE}
        ELSE {_TAKE}
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER usage_rolled_up AFTER INSERT OR UPDATE OR DELETE ON usage FOR EACH ROW EXECUTE FUNCTION roll_up_usage()",
)


def _fill(width: str) -> str:
    return f"""
        INSERT INTO usage_{width}s ({width}_at_ms, series_id, {_SUMS})
        SELECT {_start(width, "u.")}, s.id, {", ".join(f"sum(u.{name})" for name in SUMS)}
        FROM usage u JOIN usage_series s ON {_is_of("u")} GROUP BY {_start(width, "u.")}, s.id
    """  # noqa: S608  (constants only)


_FILL = (
    f"INSERT INTO usage_series ({_KEY}) SELECT DISTINCT {_KEY} FROM usage",  # noqa: S608  (constants only)
    *map(_fill, WIDTHS_MS),
)
