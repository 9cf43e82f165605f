"""Audit of the book, findings of the doctor, installation, catalog."""

from typing import Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel
from app.control.audit import Audit, Difference
from app.control.findings import Finding
from app.control.models import ModelRow
from app.pictures.audit import PictureAudit


class AuditedPictures(AnswerModel):
    """Kept pictures and their files. Files in a bucket are not listed: then the counts about them are 0. `link_only` counts
    pictures that were never kept, because the relay's link was all there was; they are no differences."""

    rows: int
    files: int
    rows_without_bytes: int
    bytes_without_rows: int
    link_only: int


class AuditOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "audit",
            "clean": False,
            "differences": [
                {
                    "kind": "counter",
                    "where": "monthly spend limit of user lin (micros) from 2026-12-01T00:00:00+08:00",
                    "what": "held",
                    "expected": 0,
                    "found": 1_000_000,
                }
            ],
            "looked_at": {"requests": 1200, "counters": 40, "rows of usage": 300, "pictures": 900},
            "pictures": {"rows": 900, "files": 890, "rows_without_bytes": 0, "bytes_without_rows": 0, "link_only": 2},
        }
    },
):
    """Result of an audit. `looked_at` counts the rows of each kind."""

    object: Literal["audit"] = "audit"
    clean: bool
    differences: list[Difference]
    looked_at: dict[str, int]
    pictures: AuditedPictures

    @classmethod
    def of(cls, audit: Audit, pictures: PictureAudit) -> Self:
        lost = [Difference("picture", id, "bytes of its file", size, 0) for id, size in pictures.lost]
        stray = [Difference("picture", name, "bytes without a row", 0, size) for name, size in pictures.stray]
        differences = [*audit.differences, *lost, *stray]
        return cls(
            clean=not differences,
            differences=differences,
            looked_at=audit.looked_at | {"pictures": pictures.rows},
            pictures=AuditedPictures.from_record(pictures),
        )


class DoctorOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "doctor",
            "findings": [
                {"check": "disk", "status": "ok", "message": "/data can be written to, 20.1 GiB free."},
                {
                    "check": "limits",
                    "status": "warning",
                    "message": "No limit of their own: lin. Set one with: `imagegate limits set --user lin ...`",
                },
            ],
        }
    },
):
    """Findings about each part, in the order of their dependence."""

    object: Literal["doctor"] = "doctor"
    findings: list[Finding]


class InstallationOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "installation",
            "version": "0.1.0",
            "currency": "CNY",
            "timezone": "Asia/Shanghai",
            "sandbox": False,
        }
    },
):
    """Version of the gateway, currency of its book, and timezone of its days and months."""

    object: Literal["installation"] = "installation"
    version: str
    currency: str
    timezone: str
    sandbox: bool


class CatalogModelOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "catalog.model",
            "id": "gpt-image-1",
            "operations": ["edit", "generation"],
            "sizes": ["1024x1024", "1536x1024"],
            "qualities": ["low", "medium", "high"],
            "priced": True,
            "allowed": None,
        }
    },
):
    """Model of the catalog. `priced`: it has a price now. `allowed` is null where no project is named."""

    object: Literal["catalog.model"] = "catalog.model"
    id: str
    operations: list[str]
    sizes: list[str]
    qualities: list[str]
    priced: bool
    allowed: bool | None = Field(description="True when the named project may use it.")

    @classmethod
    def of(cls, row: ModelRow) -> Self:
        return cls.from_record(row, id=row.model)
