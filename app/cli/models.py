"""imagegate models: the catalog, its aliases, and the models that a project may use."""

import shlex
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.command import ApiContext, Yes, command, confirm
from app.cli.language import translate
from app.cli.output import Column, say
from app.errors import InvalidValue

app = typer.Typer(help="The catalog, other names for its models, and which models a project may use.")
Project = Annotated[str, typer.Option(metavar="P", help="The project: name or id.")]
Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Models of the catalog.")]
_MODEL = (Column("id", heading="model"), Column("operations"), Column("priced"))
NONE = "none"
"""Value of an option that removes what was set."""


class ResponseFormat(StrEnum):
    url = "url"
    b64_json = "b64_json"
    none = NONE


def _pairs_text(field: str) -> Column:
    return Column(field, value=lambda alias: ", ".join(f"{asked}={sent}" for asked, sent in alias[field].items()))


_ALIAS = (
    Column("name"),
    Column(
        "model", value=lambda alias: alias["model"] + translate(" (hidden by a model of this name)") * alias["hidden"]
    ),
    _pairs_text("sizes"),
    _pairs_text("qualities"),
    Column("dropped_fields", heading="drops", value=lambda alias: ", ".join(alias["dropped_fields"])),
    Column("response_format", none="-"),
)
_PERMISSIONS = (Column("mode"), Column("model_ids", heading="models"))


@command(app, "list")
async def list_(
    ctx: ApiContext,
    project: Annotated[str | None, typer.Option(metavar="P", help="Also tell what this one may use.")] = None,
) -> None:
    """Show the catalog; with --project, whether that project may use each model."""
    columns = _MODEL if project is None else (*_MODEL, Column("allowed"))
    ctx.out.rows(columns, await ctx.client.get("models", project=project))


@command(app, "allow")
async def allow(
    ctx: ApiContext,
    project: Project,
    models: Models = None,
    all_: Annotated[bool, typer.Option("--all", help="Every model again, without any list.")] = False,
) -> None:
    """Let a project use these models and no others, in place of what held before."""
    if all_ == bool(models):
        raise InvalidValue("Name the models, or give --all.", param="models")
    if models:
        await _set(ctx, project, "allow_list", models)
        if not ctx.out.is_json:
            undo = ctx.target.command(f"models allow --all --project {shlex.quote(project)}")
            say(f"Every other model is refused in this project now. To allow all again: {undo}")
        return
    path = ("projects", project, "model_permissions")
    await ctx.client.delete(*path)
    with ctx.client.after("The list is taken away"):
        ctx.out.one(_PERMISSIONS, await ctx.client.get(*path))
    ctx.out.note("This project may use every model again.")  # The API shows that as a deny list without models.


@command(app, "deny")
async def deny(ctx: ApiContext, project: Project, models: Models = None) -> None:
    """Let a project use every model but these, in place of what held before."""
    if not models:
        raise InvalidValue(
            "Name the models; `imagegate models allow --all --project P` takes a list away.", param="models"
        )
    await _set(ctx, project, "deny_list", models)


async def _set(ctx: ApiContext, project: str, mode: str, models: list[str]) -> None:
    names = list(dict.fromkeys(models))
    answer = await ctx.client.post("projects", project, "model_permissions", mode=mode, model_ids=names)
    ctx.out.one(_PERMISSIONS, answer)


@command(app, "remove")
async def remove(
    ctx: ApiContext,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the catalog.")],
    yes: Yes = False,
) -> None:
    """Remove a mistyped model from the catalog, and end its prices. The book and reports keep its name, and `prices set` makes it
    again."""
    confirm(f"Remove the model {model} and end all its prices?", yes=yes)
    removed = await ctx.client.delete("models", model=model)
    ctx.out.done(removed, f"{model} is not in the catalog any more.")


@command(app, "aliases")
async def aliases(ctx: ApiContext) -> None:
    """Show the aliases, and what each translates."""
    ctx.out.rows(_ALIAS, await ctx.client.get("model_aliases"))


@command(app, "alias")
async def alias(
    ctx: ApiContext,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What clients ask for; * stands for any characters.")],
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A model of the catalog.")] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="1792x1024=1536x1024", help="Send this size for that; may be repeated.")
    ] = None,
    quality: Annotated[
        list[str] | None, typer.Option(metavar="hd=high", help="Send this quality for that; may be repeated.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Leave this field out; may be repeated.")
    ] = None,
    response_format: Annotated[
        ResponseFormat | None, typer.Option(help="What a client gets that names no response_format.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away.")] = False,
    yes: Yes = False,
) -> None:
    """Let a name stand for a model; permissions, limits and prices are the model's. Of several aliases the most exact wins, and a
    real model always. An option that is not given keeps what was set, and `none` takes it away. Every alias of a gpt-image model
    also sends medium for standard, high for hd, 1024x1024 for 256x256 and 512x512, 1536x1024 for 1792x1024, 1024x1536 for
    1024x1792, and no style."""
    if remove != (model is None) or (remove and (size or quality or drop or response_format)):
        raise InvalidValue("Give NAME and MODEL, or NAME and --remove without anything else.", param="model")
    if remove:
        confirm(f"Remove the alias {name}?", yes=yes)
        removed = await ctx.client.delete("model_aliases", name=name)
        ctx.out.done(removed, f"{name} is not an alias any more.")
        return
    fields: dict[str, Any] = {"sizes": _pairs("size", size), "qualities": _pairs("quality", quality)}
    fields |= {"dropped_fields": [] if drop == [NONE] else drop or None}
    fields |= {"response_format": "" if response_format is ResponseFormat.none else response_format}
    ctx.out.one(_ALIAS, await ctx.client.post("model_aliases", name=name, model=model, **fields))


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    """Parse A=B. Raises InvalidValue."""
    if not texts:
        return None
    if texts == [NONE]:
        return {}
    pairs = {}
    for text in texts:
        asked, sign, sent = text.partition("=")
        if not (asked and sign and sent):
            raise InvalidValue(
                f"--{option} takes what is asked and what is sent, like A=B, not {text!r}.", param=option
            )
        pairs[asked] = sent
    return pairs
