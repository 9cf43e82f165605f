"""Earlier purchases of the same pictures: by the digest of a request, the newest whose pictures are kept."""

from collections.abc import Iterator

CANDIDATES_MAX = 20
"""Newest equal purchases that are looked at. More do not slow a reservation down, however often a prompt is bought."""


def earlier_purchase_sql(markers: Iterator[str], *, whole: bool = False) -> str:
    """Return a SELECT of the newest settled request with a digest of which a picture is kept; with `whole` one of which all
    pictures that it asked for are kept.

    Its columns are `request_id` and `picture_id`, the first kept picture. `markers` stand for the digest, now and now (Unix ms).
    Pictures that are still in the stored answer of their request count as kept. The order is that of the index, so that it is read
    no further than needed; `+ 0` keeps PostgreSQL from indexes of all times.
    """
    digest, kept_ms, stored_ms = (next(markers) for _ in range(3))
    kept, stored = ("r.n", "max(r.images) >= r.n AND ") if whole else ("1", "")
    return f"""
        SELECT r.id AS request_id, r.id || '_' || coalesce(min(p."index"), 0) AS picture_id
        FROM (
            SELECT id, n, images, reserved_at_ms FROM requests
            WHERE duplicate_digest = {digest} AND state = 'settled' AND coalesce(flag, '') <> 'bad_payload'
            ORDER BY reserved_at_ms DESC LIMIT {CANDIDATES_MAX}
        ) r
        LEFT JOIN pictures p ON p.request_id = r.id AND p.kept_until_ms + 0 > {kept_ms}
        LEFT JOIN results s ON s.request_id = r.id AND s.cuts IS NULL AND s.expires_at_ms + 0 > {stored_ms}
        GROUP BY r.id, r.n, r.reserved_at_ms
        HAVING count(p.id) >= {kept} OR {stored}count(s.request_id) > 0
        ORDER BY r.reserved_at_ms DESC, r.id DESC LIMIT 1
    """  # noqa: S608  (constants only)


def earlier_picture_sql(markers: Iterator[str], *, casts: bool = False) -> str:
    """Return a SELECT of the picture only. `casts`: PostgreSQL cannot tell the types of its markers."""
    if casts:
        markers = iter([f"{next(markers)}::bytea", f"{next(markers)}::bigint", f"{next(markers)}::bigint"])
    return f"SELECT picture_id FROM ({earlier_purchase_sql(markers)}) earlier"  # noqa: S608  (constants only)
