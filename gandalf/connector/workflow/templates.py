"""Templates in workflow files: `${event.payload.name}`, a look-up and nothing else; no code is ever
evaluated.

A value that is one template and nothing besides becomes what was found, of whatever type. In the middle of a
text only texts, numbers and booleans can stand. `$${` stands for `${` itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

_WORD: Final = r"[A-Za-z0-9_-]+"
_TEMPLATE: Final = re.compile(rf"\$\$\{{|\$\{{(?P<path>{_WORD}(?:\.{_WORD})*)\}}|(?P<broken>\$\{{)")


class TemplateError(ValueError):
    """The template at `place` is malformed, or finds nothing, or nothing fit for its place."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


@attrs.frozen
class Template:
    """One template found in a value: its place there (`payload.name`) and the words of its path."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "${" + ".".join(self.words) + "}"


def templates(value: object, place: str) -> Iterator[Template]:
    """All templates in `value`, which stands at `place`. Raises `TemplateError` for a malformed one."""
    if isinstance(value, str):
        for match in _TEMPLATE.finditer(value):
            if match["broken"]:
                raise TemplateError(
                    place,
                    f"{json.dumps(value)}: a template must be ${{word.word...}}, words of letters, digits, '_' "
                    "and '-'; $${ stands for a text's own ${",
                )
            if match["path"]:
                yield Template(place, tuple(match["path"].split(".")))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from templates(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from templates(inner, f"{place}[{index}]")


def fill(value: object, scope: Mapping[str, object], place: str) -> object:
    """`value`, found at `place`, with its templates replaced by what they find in `scope`.

    Raises `TemplateError` when one finds nothing, or something that cannot stand in a text.
    """
    if isinstance(value, str):
        return _fill_text(value, scope, place)
    if isinstance(value, Mapping):
        return {key: fill(inner, scope, f"{place}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, scope, f"{place}[{index}]") for index, inner in enumerate(value)]
    return value


def _fill_text(text: str, scope: Mapping[str, object], place: str) -> object:
    whole = _TEMPLATE.fullmatch(text)
    if whole and whole["path"]:
        return _look_up(whole["path"], scope, place)

    def replace(match: re.Match[str]) -> str:
        if not match["path"]:
            return "${"
        found = _look_up(match["path"], scope, place)
        if isinstance(found, str):
            return found
        if isinstance(found, bool | int | float):
            return json.dumps(found)
        kind = "an object" if isinstance(found, Mapping) else "a list" if isinstance(found, list) else "null"
        raise TemplateError(
            place, f"{match[0]} is {kind}: in the middle of a text it must be a text, a number or a boolean"
        )

    return _TEMPLATE.sub(replace, text)


def _look_up(path: str, scope: Mapping[str, object], place: str) -> object:
    found: object = scope
    passed = ""
    for word in path.split("."):
        if isinstance(found, Mapping) and word in found:
            found = found[word]
        elif isinstance(found, list) and word.isdecimal() and int(word) < len(found):
            found = found[int(word)]
        else:
            here = f"no {word!r} in {passed}" if passed else f"no {word!r}"
            raise TemplateError(place, f"${{{path}}} finds nothing: there is {here}")
        passed = f"{passed}.{word}".lstrip(".")
    return found
