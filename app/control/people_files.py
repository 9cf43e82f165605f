"""File of people as CSV: a line for each person and project, as `imagegate users import` and the console take it."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.control.limits import LimitChange, check_change
from app.control.members import checked_project_role
from app.control.names import checked_email, checked_name, quoted
from app.control.projects import DEFAULT_PROJECT
from app.core.actors import AccessRole
from app.core.limit_words import parse_limits
from app.errors import GatewayError, InvalidValue

FILE_BYTES_MAX = 1024 * 1024
PEOPLE_MAX = 100
"""Most lines of one import. On SQLite its one write holds up reservations, which give up after 5 s; so many take about 2 s."""
SHOWN_MAX = 10
"""Broken lines that one error names."""
COLUMNS = ("name", "mail", "project", "role", "limits")
HEAD = "name,mail,project,role,limits"
_ALIASES = {"email": "mail", "e-mail": "mail", "limit": "limits"}
_AMOUNT = re.compile(r"\d+(\.\d+)?", re.ASCII)
"""Limit without its unit and interval, which is the most that a person may spend per month."""


@dataclass(frozen=True, slots=True)
class PersonLine:
    """Person in a project, from the line `number` of a file, whose head is line 1; 0 is no file. `limits` are those of the person.
    An empty name stands for one made of the address. `access_role` is None where it stays, or is that of a member."""

    number: int
    name: str
    email: str | None
    project: str
    role: str
    limits: tuple[LimitChange, ...]
    access_role: AccessRole | None = None


def read_people(text: str) -> list[PersonLine]:
    """Parse a file of people. Commas, semicolons and tabs separate, as spreadsheets write them; only `name` must be there.
    Raises InvalidValue, which names each broken line and what to write there."""
    rows = _rows(text.removeprefix("\ufeff"))
    columns = _columns(next(rows, (1, []))[1])
    people, problems = [], []
    for number, cells in rows:
        try:
            people.append(_person(number, columns, cells))
        except GatewayError as exc:
            problems.append(f"Line {number}: {exc.message}")
    if problems:
        more = f" {len(problems) - SHOWN_MAX} more lines are broken." if len(problems) > SHOWN_MAX else ""
        raise InvalidValue(" ".join(problems[:SHOWN_MAX]) + f"{more} Nothing is changed.", param="file")
    if not 1 <= len(people) <= PEOPLE_MAX:
        message = (
            f"The file has {len(people)} lines of people below the line {HEAD}; 1 to {PEOPLE_MAX} are read at once."
        )
        raise InvalidValue(message, param="file")
    return people


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty."""
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as exc:
        raise InvalidValue(f"Line {reader.line_num}: {exc}. Nothing is changed.", param="file") from None


def _columns(head: Sequence[str]) -> list[str]:
    """Return the names of the columns, with `mail` for `email` and `limits` for `limit`. Raises InvalidValue."""
    columns = [_ALIASES.get(name.lower(), name.lower()) for name in head]
    unknown = [name for name in columns if name not in COLUMNS or columns.count(name) > 1]
    if unknown or "name" not in columns:
        wrong = (
            f"the column {quoted(unknown[0])} is not one of them, or twice" if unknown else "there is no column name"
        )
        raise InvalidValue(f"Line 1 names the columns, such as {HEAD}: {wrong}.", param="file")
    return columns


def _person(number: int, columns: Sequence[str], cells: Sequence[str]) -> PersonLine:
    if len(cells) > len(columns):
        message = f"it has {len(cells)} cells and line 1 names {len(columns)} columns; put quotes around a cell with a separator."
        raise InvalidValue(message)
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    return PersonLine(
        number,
        checked_name(given.get("name", "")),
        checked_email(given.get("mail")),
        given.get("project", DEFAULT_PROJECT),
        checked_project_role(given.get("role", "member")),
        limits_of_text(given.get("limits", "")),
    )


def limits_of_text(text: str) -> tuple[LimitChange, ...]:
    """Parse limits like `spend/month=10.00 images/day=20`; a plain amount is for spending per month. Raises InvalidValue."""
    words = f"spend/month={text}" if _AMOUNT.fullmatch(text) else text
    changes = [LimitChange(unit, interval, amount) for (unit, interval), amount in parse_limits(words).items()]
    for change in changes:
        check_change(change)
    return tuple(changes)
