"""The command `gandalf` and the list of its commands."""

from __future__ import annotations

import importlib

import click

import gandalf

# The module of each command, and what `--help` says of it without importing the module.
COMMANDS = {
    "send": ("gandalf.cli.send", "Send a command, and wait for its outcome."),
    "emit": ("gandalf.cli.emit", "Send an event."),
    "watch": ("gandalf.cli.watch", "Print events as they pass."),
    "status": ("gandalf.cli.status", "Show an aggregator's start-up steps and connections."),
    "trace": ("gandalf.cli.trace", "Search the messages that the cluster recorded."),
    "tenant": ("gandalf.cli.tenant", "Create and list tenants."),
    "secret": ("gandalf.cli.secret", "Create, list and revoke the secrets of components."),
    "definitions": ("gandalf.cli.definitions", "Check files of pivots, connectors and workflows."),
}


class Commands(click.Group):
    """Imports a command when it is asked for. Each module's command is its `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command, None when there is none of that name."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without importing them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--settings",
    metavar="FILE",
    envvar="GANDALF_OPERATOR",
    help="A file like conf/operator.toml. Default: the nearest var/operator.toml. [variable GANDALF_OPERATOR]",
)
@click.version_option(gandalf.__version__, prog_name="gandalf")
@click.pass_context
def main(context: click.Context, settings: str | None) -> None:
    """Work in a Gandalf network.

    Exit status: 0 done; 1 it was tried and failed; 2 the command line or the settings are wrong; 3 it was
    refused, not answered in time, or the network cannot be reached.
    """
    context.obj = settings
