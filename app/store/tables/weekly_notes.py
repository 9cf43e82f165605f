"""Table of the weekly notes that people asked for."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Table, Text

from app.store.tables.base import metadata
from app.store.tables.people import users

weekly_notes = Table(
    "weekly_notes",
    metadata,
    Column("user_id", Text, ForeignKey(users.c.id), primary_key=True),
    Column("language", Text, nullable=False, comment="en or zh"),
    Column("chat_url", Text, comment="the robot it goes to, a secret; NULL: by mail"),
    Column(
        "due_at_ms", BigInteger, nullable=False, index=True, comment="of the next attempt; whoever moves it on may send"
    ),
    Column("attempts", Integer, nullable=False, comment="at the note that is due"),
    Column("sent_at_ms", BigInteger, comment="the last one"),
    Column("error", Text, comment="of the last attempt; no secrets"),
)
"""People with a weekly note; without a row, none. Each note is sent at least once."""
