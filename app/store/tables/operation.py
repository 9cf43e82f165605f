"""Table of backups: the one that runs, and the last one that succeeded."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, Table, Text

from app.store.tables.base import metadata

backups = Table(
    "backups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "running_until_ms",
        BigInteger,
        comment="until then a backup copies pictures, and no file of one is removed; the backup renews it. NULL: none runs",
    ),
    Column("succeeded_at_ms", BigInteger, comment="start of the last backup that succeeded"),
    Column("file", Text, comment="of that one"),
    CheckConstraint("id = 1", name="one"),
)
"""One row: the backup that runs, on whichever replica, and the last one that succeeded."""
