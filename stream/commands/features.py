"""`riverrun features`: what stands in a module of its own for each sub-command."""

import typer

from stream.commands.features_build import build
from stream.commands.features_explain import explain
from stream.commands.features_load import load

app = typer.Typer(
    help="Features: lookups, training sets, and how values came about.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(build)
app.command()(explain)
app.command()(load)
