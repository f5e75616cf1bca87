"""`gandalf definitions`"""

from __future__ import annotations

from pathlib import Path

import click

from gandalf.cli.errors import FAILED

_DEFINITIONS = {"pivots", "productconnectors", "logicalcomponents"}


@click.group("definitions")
def command() -> None:
    """Files that say what connectors speak, what components there are, and what workflows do."""


@command.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check FILEs, or all in directories, and print what is wrong: each place, its value and what is allowed.

    A file with `steps` is a workflow; any other one holds definitions.

    Exit status: 0 all are in order, 1 they are not.
    """
    troubles = 0
    for path in files:
        for file in _files(path):
            trouble = _trouble(file)
            troubles += bool(trouble)
            click.echo(trouble or f"{file}: in order")
    if troubles:
        raise SystemExit(FAILED)


def _files(path: Path) -> list[Path]:
    from gandalf.store.definitions import SUFFIXES

    return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]


def _trouble(path: Path) -> str:
    """What is wrong with a file, "" for nothing."""
    from gandalf.connector.workflow.files import WorkflowErrors, read
    from gandalf.store.definitions import InvalidDefinition, load_definitions

    try:
        if _is_workflow(path):
            read(path)
        else:
            load_definitions(path)
    except (WorkflowErrors, InvalidDefinition) as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    return ""


def _is_workflow(path: Path) -> bool:
    import yaml

    if path.suffix not in (".yaml", ".yml"):
        return False
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (ValueError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "steps" in content and not _DEFINITIONS & content.keys()
