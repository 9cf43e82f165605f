"""Import of a team: what each line of the file made."""

from collections.abc import Iterable
from typing import Literal, Self

from app.api.schemas.base import AnswerModel, NamedOut, absent
from app.control.people_import import ImportedPerson

_PERSON = {
    "line": 2,
    "name": "lin",
    "email": "lin@example.com",
    "project": "posters",
    "role": "member",
    "created": ["user", "member", "limits", "key"],
    "notes": [],
    "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "api_key": {"id": "key_4f8c1n0a2b7m", "value": "sk-ig-4f8c1n0a2b7m-..., shown this once"},
}


class ImportedKey(AnswerModel):
    """New key of an imported person. Only this answer has `value`, its secret."""

    id: str
    value: str


class ImportedUserOut(NamedOut, json_schema_extra={"example": _PERSON}):
    """Line of the file, the person as they are now, and what was made of user, project, member, limits and key. `notes` tell
    where something that exists stays although the line says otherwise. A dry run has no ids."""

    line: int
    name: str
    email: str | None
    project: str
    role: str
    created: list[Literal["user", "project", "member", "limits", "key"]]
    notes: list[str]
    user_id: str | None = absent()
    api_key: ImportedKey | None = absent()

    @classmethod
    def of(cls, person: ImportedPerson, *, dry_run: bool) -> Self:
        """Make the answer; of a dry run without ids and secrets, which do not exist."""
        key = ImportedKey(id=person.key.id, value=person.key.key) if person.key and not dry_run else None
        return cls.from_record(
            person,
            line=person.line.number,
            name=person.user.name,
            email=person.user.email,
            project=person.project.name,
            user_id=None if dry_run else person.user.id,
            api_key=key,
        )


class UsersImportOut(
    AnswerModel, json_schema_extra={"example": {"object": "users_import", "dry_run": False, "data": [_PERSON]}}
):
    """Result of an import, line by line."""

    object: Literal["users_import"] = "users_import"
    dry_run: bool
    data: list[ImportedUserOut]

    @classmethod
    def of(cls, people: Iterable[ImportedPerson], *, dry_run: bool) -> Self:
        return cls(dry_run=dry_run, data=[ImportedUserOut.of(person, dry_run=dry_run) for person in people])
