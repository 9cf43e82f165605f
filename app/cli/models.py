"""imagegate models: the catalog, and which of it a project may use."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.command import Call, command
from app.cli.output import Column, fields
from app.errors import InvalidValue

if TYPE_CHECKING:
    from app.core.grants import ModelMode

app = typer.Typer(help="The catalog, and which models a project may use.")
Project = Annotated[str, typer.Option(metavar="P", help="The project: name or id.")]
Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="Models of the catalog.")]
_MODEL = (
    Column("model"),
    Column("operations"),
    Column("sizes", table=False),
    Column("qualities", table=False),
    Column("priced"),
)
_PERMISSIONS = (Column("project"), Column("mode", none="every model"), Column("models"))


@command(app, "list")
async def list_(
    call: Call,
    project: Annotated[str | None, typer.Option(metavar="P", help="Also tell what this one may use.")] = None,
) -> None:
    """Show the catalog; with --project, whether that project may use each model."""
    async with call.administration() as administration:
        rows = await administration.list_models(project)
    columns = _MODEL if project is None else (*_MODEL, Column("allowed"))
    call.out.rows(columns, [fields(row) for row in rows])


@command(app, "allow")
async def allow(
    call: Call,
    project: Project,
    models: Models = None,
    all_: Annotated[bool, typer.Option("--all", help="Every model again, without any list.")] = False,
) -> None:
    """Let a project use these models and no others, in place of what held before."""
    if all_ == bool(models):
        raise InvalidValue("Name the models, or give --all.", param="models")
    await _set(call, project, None if all_ else "allow_list", models or [])


@command(app, "deny")
async def deny(call: Call, project: Project, models: Models = None) -> None:
    """Let a project use every model but these, in place of what held before."""
    if not models:
        raise InvalidValue("Name the models; `imagegate models allow --all` takes a list away.", param="models")
    await _set(call, project, "deny_list", models)


async def _set(call: Call, project: str, mode: "ModelMode | None", names: list[str]) -> None:
    from app.control.models import ModelRule

    rule = None if mode is None else ModelRule(mode, tuple(dict.fromkeys(names)))
    async with call.administration() as administration:
        await administration.set_model_rule(project, rule)
    shown = {"project": project, "mode": mode, "models": list(rule.models) if rule else []}
    call.out.one(_PERMISSIONS, shown)
