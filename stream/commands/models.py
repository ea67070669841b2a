"""`riverrun models`: what is done with bundles apart from training and serving them."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from typing import Annotated

import typer

from models.threads import prepare_lightgbm
from stream.commands.flags import ConfigFile, ModelsFolder, Sets, settings_from

app = typer.Typer(help="Bundles of models.", no_args_is_help=True, rich_markup_mode=None)


@app.command("compile")
def compile_(
    versions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION]...", help="Which ones; those that are deployed when not given."),
    ] = None,
    *,
    config: ConfigFile = None,
    models: ModelsFolder = None,
    sets: Sets = None,
) -> None:
    """Compile bundles to machine code for this processor, for workers with `model.compiled`."""
    prepare_lightgbm()
    settings = settings_from(config, sets, models=models)
    from stream.workers.compile import run

    raise typer.Exit(run(settings, versions or ()))
