"""SQL for what rows of requests hold and have spent of limits, and for the hourly roll-up that they are added to."""

from collections.abc import Mapping

from app.core.limits import Unit
from app.store.ledger.columns import HOLDS, IN_PROGRESS, SPENDS


def held_sql(request: str, state: str, unit: str) -> str:
    """Return SQL for the amount that a row `request` in `state` holds of a limit of `unit`; all three are SQL expressions."""
    lasts = f"{state} IN {IN_PROGRESS} OR {state} = 'unknown' AND {unit} <> 'in_flight'"
    return f"CASE WHEN {lasts} THEN {_by_unit(HOLDS, request, unit)} ELSE 0 END"


def spent_sql(request: str, state: str, unit: str) -> str:
    """Return SQL for the amount that a row `request` has spent of a limit of `unit`; arguments as in `held_sql`."""
    return f"CASE WHEN {state} = 'settled' THEN {_by_unit(SPENDS, request, unit)} ELSE 0 END"


def _by_unit(amounts: Mapping[Unit, str | None], request: str, unit: str) -> str:
    columns = {name: f"{request}.{column}" if column else "1" for name, column in amounts.items()}
    if amounts.get("images") == "images":
        columns["images"] = f"(CASE WHEN {request}.images > {request}.n THEN {request}.images ELSE {request}.n END)"
    whens = (f"WHEN '{name}' THEN {column}" for name, column in columns.items())
    return f"CASE {unit} {' '.join(whens)} ELSE 0 END"


def roll_up_sql(source: str, hour_at_ms: str, day: str) -> str:
    """Return the statement that adds a settled row of `source` to the hourly roll-up `usage`.

    Triggers of the database (migrations 0008 and 0032) then add the same sums to `usage_hours`, `usage_days` and
    `usage_local_days`.
    """
    key = "project_id, user_id, api_key_id, model, operation"
    sums = ("requests", "images", "cost_micros", "input_tokens", "output_tokens")
    return f"""
        INSERT INTO usage (hour_at_ms, day, {key}, size, quality, {", ".join(sums)})
        SELECT {hour_at_ms}, {day}, {key}, coalesce(size, ''), coalesce(quality, ''),
               1, images, cost_micros, coalesce(input_tokens, 0), coalesce(output_tokens, 0)
        FROM {source}
        ON CONFLICT (hour_at_ms, day, {key}, size, quality) DO UPDATE SET
            {", ".join(f"{name} = usage.{name} + excluded.{name}" for name in sums)}
    """  # noqa: S608  (constants only)
