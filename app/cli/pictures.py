"""imagegate pictures: the kept pictures of everybody."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.command import FAILED, ApiContext, Yes, command, confirm, moment_s
from app.cli.output import Column, Record
from app.cli.requests import ModelName, Project, Since, Until, User
from app.errors import InvalidValue

app = typer.Typer(help="The pictures that are kept: find them, save them, delete them.")
PROMPT_CHARS = 60
_LISTED = (
    Column("id"),
    Column("created_at", "time"),
    Column("user"),
    Column("project"),
    Column("model"),
    Column("bytes", "number"),
    Column("visibility"),
    Column("prompt", value=lambda picture: _begin(picture)),
)
_PICTURE = (
    Column("id"),
    Column("request_id"),
    Column("created_at", "time"),
    Column("kept_until", "time"),
    Column("user"),
    Column("user_id"),
    Column("project"),
    Column("project_id"),
    Column("model"),
    Column("media_type"),
    Column("width", "number"),
    Column("height", "number"),
    Column("bytes", "number"),
    Column("blake3"),
    Column("c2pa"),
    Column("visibility"),
    Column("prompt"),
    Column("cost_micros", "money"),
    Column("duplicate_of"),
)
_SAVED = (Column("id"), Column("file"), Column("bytes", "number"))
_DUE = (
    Column("pictures", "number"),
    Column("expired", "number", "kept long enough"),
    Column("expired_bytes", "number", "their bytes"),
    Column("above", "number", "above the cap"),
    Column("above_bytes", "number", "their bytes"),
    Column("file_bytes", "number", "bytes that get free"),
)
_GONE = (Column("pictures", "number"), Column("file_bytes", "number", "bytes that get free"))
PictureId = Annotated[
    str, typer.Argument(metavar="ID", help="Like req_, 28 digits and its place in the answer: req_..._0.")
]
PictureIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Of pictures, as the list shows them.")]


@command(app, "list")
async def list_(
    ctx: ApiContext,
    user: User = None,
    project: Project = None,
    model: ModelName = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only of the request with this id.")] = None,
    words: Annotated[str | None, typer.Option(metavar="W", help="Only with all these words in the prompt.")] = None,
    since: Since = None,
    until: Until = None,
    shared: Annotated[bool, typer.Option("--shared", help="Only those that are shared with a project.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 20,
) -> None:
    """Show the newest kept pictures, newest first. The audit log says who looked."""
    times = {"since": since and moment_s(ctx, since, "since"), "until": until and moment_s(ctx, until, "until")}
    query = {"user": user, "project": project, "model": model, "request": request, "words": words, **times}
    found = await ctx.client.every("pictures", count=limit, shared=shared or None, **query)
    ctx.out.rows(_LISTED, found)
    if found["has_more"]:
        ctx.out.note(f"imagegate: these are the newest {limit}, and there are more: --limit N shows N of them.")


@command(app, "show")
async def show(ctx: ApiContext, picture: PictureId) -> None:
    """Show everything about one picture. A look at the prompt of a private one leaves a line in the audit log."""
    ctx.out.one(_PICTURE, await ctx.client.get("pictures", picture))


@command(app, "save")
async def save(
    ctx: ApiContext,
    pictures: PictureIds,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="P",
            help="A directory; for one picture also a file, whose name has an ending.",
            show_default=False,
        ),
    ] = ".",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Save pictures as files, byte for byte as the relay sent them. Private ones leave a line in the audit log."""
    folder, name = _place(to, len(pictures), force=force)
    saved = []
    for number, picture in enumerate(pictures, 1):
        file, size_bytes = await _save(ctx, picture, folder, name, force=force)
        saved.append({"object": "image.picture", "id": picture, "file": str(file), "bytes": size_bytes})
        if len(pictures) > 1:
            ctx.out.note(f"imagegate: {number} of {len(pictures)} saved.")
    ctx.out.rows(_SAVED, {"object": "list", "data": saved})


def _place(given: str, count: int, *, force: bool) -> tuple[Path, str | None]:
    """Return the directory that pictures are saved in, and the name of the file where one picture has one. A path that does
    not exist and has no suffix, or a slash at its end, names a directory. Raises InvalidValue."""
    to = Path(given)
    if to.is_file() and count > 1:
        raise InvalidValue(f"{to} is a file, and {count} pictures need a directory.", param="to")
    if to.is_file() and not force:
        raise _exists(to)
    is_folder = given.endswith(os.sep) or to.is_dir() or count > 1 or not (to.suffix or to.is_file())
    folder, name = (to, None) if is_folder else (to.parent, to.name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder, name


async def _save(ctx: ApiContext, picture: str, folder: Path, name: str | None, *, force: bool) -> tuple[Path, int]:
    """Save one picture; returns the file and its bytes. Nothing is left of one that did not arrive whole. Raises GatewayError."""
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        async with ctx.client.opened("pictures", picture, "content") as answer:
            kind = answer.headers.get("content-type", "").removeprefix("image/")
            size_bytes = 0
            with part.open("xb") as out:
                async for chunk in answer.aiter_bytes():
                    size_bytes += out.write(chunk)
        file = folder / (name or f"{picture}.{kind}")
        _give_name(part, file, force=force)
    except OSError as exc:
        raise InvalidValue(f"{folder} cannot be written to: {exc.strerror}.", param="to") from None
    finally:
        part.unlink(missing_ok=True)
    return file, size_bytes


def _give_name(part: Path, file: Path, *, force: bool) -> None:
    """Give a file that is whole its name. Raises InvalidValue for one that has appeared meanwhile."""
    if force:
        part.replace(file)
        return
    try:
        os.link(part, file)
    except FileExistsError:
        raise _exists(file) from None
    except OSError:  # A file system without hard links.
        if file.exists():
            raise _exists(file) from None
        part.rename(file)


def _exists(file: Path) -> InvalidValue:
    return InvalidValue(f"{file} is there already: take another name, or --force to overwrite it.", param="to")


@command(app, "delete")
async def delete(ctx: ApiContext, pictures: PictureIds, yes: Yes = False) -> None:
    """Delete pictures for good, from the disk and from the bucket. Their links end, and their answers cannot be replayed."""
    confirm(f"Delete {len(pictures)} pictures for good?", yes=yes)
    deleted = [await ctx.client.delete("pictures", picture) for picture in pictures]
    ctx.out.rows((Column("id"),), {"object": "list", "data": deleted})
    ctx.out.note(f"imagegate: deleted for good: {len(deleted)}.")


@command(app, "prune")
async def prune(
    ctx: ApiContext, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False
) -> None:
    """Remove the pictures that are due now: those kept long enough, then the oldest above IMAGEGATE_PICTURES_BYTES_MAX that are
    older than a day. The gateway does the same every minute."""
    due = await ctx.client.post("pictures", "prune", dry_run=True)
    if dry_run:
        ctx.out.one(_DUE, due)
        return
    total: dict[str, Any] = {}
    while not total or (total["has_more"] and not total["failed"]):
        step = await ctx.client.post("pictures", "prune", dry_run=False)
        total = step | {name: step[name] + total.get(name, 0) for name in ("pictures", "file_bytes")}
        if total["has_more"]:
            ctx.out.note(f"imagegate: {total['pictures']} of {due['pictures']} pictures removed.")
    ctx.out.one(_GONE, total)
    if total["failed"]:
        ctx.out.note(
            f"imagegate: the bucket did not remove these: {', '.join(total['failed'])}. They are tried again every minute."
        )
        raise typer.Exit(FAILED)


def _begin(picture: Record) -> str | None:
    """Return the first words of a prompt."""
    prompt: str | None = picture["prompt"]
    if prompt is None or len(prompt) <= PROMPT_CHARS:
        return prompt
    return f"{prompt[: PROMPT_CHARS - 3]}..."
