"""Table of the pictures that are kept. Their bytes are blobs, named by `digest`; rows of equal bytes share one blob."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from app.core.word_bits import NUMBERS
from app.store.tables.base import metadata

WORDS = "bits of the words of the prompt, see app/core/word_bits.py"
WORD_COLUMNS = tuple(f"words_{number}" for number in range(NUMBERS))
pictures = Table(
    "pictures",
    metadata,
    Column("id", Text, primary_key=True, comment="request_id and index, as the links in answers have it"),
    Column("request_id", Text, nullable=False),
    Column("index", Integer, nullable=False, comment="its place in `data` of the answer, from 0"),
    Column("user_id", Text, nullable=False, comment="the request's, as project_id and model, for lists"),
    Column("project_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="BLAKE3 of the bytes in hex: the name of the blob"),
    Column("media_type", Text, nullable=False, comment="from the first bytes, never from a label"),
    Column("width_px", Integer, comment="NULL where the header cannot be read"),
    Column("height_px", Integer),
    Column("bytes", BigInteger, nullable=False),
    Column("c2pa", Integer, nullable=False, comment="1: it carries a C2PA manifest"),
    Column("visibility", Text, nullable=False, comment="private or project"),
    Column("created_at_ms", BigInteger, nullable=False, comment="when the request was settled"),
    Column("kept_until_ms", BigInteger, nullable=False),
    Column("thumbnail_bytes", Integer, comment="size of its thumbnail; NULL: none is made yet, 0: none can be made"),
    *(Column(name, BigInteger, comment=f"{WORDS}; NULL: not known") for name in WORD_COLUMNS),
    Index(None, "request_id"),
    Index(None, "digest"),
    Index(None, "kept_until_ms"),
    # A search of everybody's pictures reads only this index.
    Index("ix_pictures_words", "created_at_ms", "id", *WORD_COLUMNS),
    Index(None, "user_id", "created_at_ms", "id"),
    Index(None, "model", "created_at_ms", "id"),
    Index(None, "user_id", "project_id", "created_at_ms", "id"),
    Index(None, "project_id", "created_at_ms", "id"),
)
