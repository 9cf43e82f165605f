"""imagegate models: the catalog, and the models that a project may use."""

import shlex
from typing import Annotated

import typer

from app.cli.command import ApiContext, command
from app.cli.output import Column, say
from app.errors import InvalidValue

app = typer.Typer(help="The catalog, and which models a project may use.")
Project = Annotated[str, typer.Option(metavar="P", help="The project: name or id.")]
Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Models of the catalog.")]
_MODEL = (Column("id", heading="model"), Column("operations"), Column("priced"))
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
    if not ctx.out.is_json:
        say("This project may use every model again.")  # The API shows that as a deny list without models.


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
