"""Reads a directory of workflow files, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from gandalf.connector.payloads import InvalidPayload, Problem
from gandalf.connector.workflow.definition import Workflow, parse

MAX_BYTES: Final = 256 * 1024
"""Longest workflow file, in bytes."""


class WorkflowErrors(ValueError):
    """What is wrong with workflow files: each problem with the file it is in."""

    def __init__(self, problems: list[tuple[Path, Problem]]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for path, problem in problems))


@attrs.frozen
class Loaded:
    """A workflow and the file that it was read from."""

    path: Path
    workflow: Workflow


def load(directory: Path) -> dict[str, Workflow]:
    """The workflows of the `*.yaml` and `*.yml` files in `directory`, by name.

    Raises `WorkflowErrors` with every problem of every file, OSError when the directory cannot be read.
    """
    problems: list[tuple[Path, Problem]] = []
    loaded: dict[str, Loaded] = {}
    for path in sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml")):
        try:
            workflow = read(path)
        except WorkflowErrors as error:
            problems.extend(error.problems)
            continue
        if workflow.name in loaded:
            other = loaded[workflow.name].path.name
            problems.append((path, Problem("name", f"must be unique; {other} has it too", workflow.name)))
        loaded.setdefault(workflow.name, Loaded(path, workflow))
    if problems:
        raise WorkflowErrors(problems)
    return {name: one.workflow for name, one in loaded.items()}


def read(path: Path) -> Workflow:
    """The workflow of one file. Raises `WorkflowErrors` with every problem of it, OSError."""
    try:
        return parse(_content(path))
    except InvalidPayload as error:
        raise WorkflowErrors([(path, problem) for problem in error.problems]) from None


def _content(path: Path) -> object:
    if path.stat().st_size > MAX_BYTES:
        raise InvalidPayload([Problem("the file", f"must be no longer than {MAX_BYTES} bytes")])
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise InvalidPayload([Problem(place, f"must be YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload([Problem("the file", f"must be YAML in UTF-8: {error}")]) from None


class _Loader(yaml.SafeLoader):
    """YAML with the types of JSON: `on` is a word, a date a text; no key twice, no anchors (a bomb needs
    few)."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node, unless it is an alias."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are texts, each once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} must be a text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# Plain scalars are what they are in JSON; anything else, `on`, `010`, `1:30` or a date, is a text.
_Loader.yaml_implicit_resolvers = {}
_NUMBER = r"-?(?:0|[1-9][0-9]*)"
for _tag, _pattern, _first in (
    ("null", r"(?:null|~|)$", ["n", "~", ""]),
    ("bool", r"(?:true|false)$", ["t", "f"]),
    ("int", rf"{_NUMBER}$", [*"-0123456789"]),
    ("float", rf"{_NUMBER}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", [*"-0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
