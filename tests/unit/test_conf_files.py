"""The files in conf/: they load, and tell an operator every key as the models have it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from twisted.trial.unittest import SynchronousTestCase

from gandalf.config import AggregatorConfig, ClusterConfig, ConnectorsConfig, OperatorConfig, load
from gandalf.config.fields import allowed_for, table_of

CONF = Path(__file__).parents[2] / "conf"
FILES: dict[str, Any] = {
    "aggregator.toml": AggregatorConfig,
    "cluster.toml": ClusterConfig,
    "connectors.toml": ConnectorsConfig,
    "operator.toml": OperatorConfig,
}
SECTION = re.compile(r"#?\[\[?(\w+)\]\]?")
KEY = re.compile(r"#?(\w+) = (.+)")
DEFAULT = re.compile(r'Default: ("[^"]*"|true|false|\[[^]]*\]|\{\}|\d+)[ .]')


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, str, FieldInfo]]:
    """The section, the key and the field of everything that may stand in a file of `model`."""
    for section, table in model.model_fields.items():
        inner = table_of(table)
        assert inner is not None
        for key, field in inner.model_fields.items():
            yield section, key, field


def told_in(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """For each section and key of `text`, commented out or not: the comment above it, and the value shown."""
    told: dict[tuple[str, str], tuple[str, str]] = {}
    section, comment = "", ""
    for line in text.splitlines():
        if match := SECTION.fullmatch(line):
            section = match[1]
        elif match := KEY.fullmatch(line):
            told.setdefault((section, match[1]), (comment, match[2]))
        if line.startswith("# "):
            comment += f"{line[2:]} "
        else:
            comment = ""
    return told


def plain(default: object) -> object:
    """`default` of a model as TOML writes it."""
    value = default.get_secret_value() if hasattr(default, "get_secret_value") else default
    return list(value) if isinstance(value, tuple) else value


class ConfFiles(SynchronousTestCase):
    """conf/*.toml against the models."""

    def each(self) -> Iterator[tuple[str, str, FieldInfo, str, str]]:
        """Every key of every file: where it is, its name, its field, its comment and the value shown."""
        for name, model in FILES.items():
            told = told_in((CONF / name).read_text("utf-8"))
            for section, key, field in keys_of(model):
                where = f"{name}: {section}.{key}"
                self.assertIn((section, key), told, f"{where} is not in the file")
                yield where, key, field, *told[section, key]

    def test_every_key_is_told_with_what_is_allowed(self) -> None:
        """Every key of the models stands in its file, with what is allowed in the words of the errors."""
        for where, _key, field, comment, _shown in self.each():
            self.assertIn(f"Allowed: {allowed_for(field)}. ", comment, where)

    def test_every_key_is_told_with_its_meaning(self) -> None:
        """Before what is required, default or allowed, a sentence says what the key is for."""
        for where, _key, _field, comment, _shown in self.each():
            self.assertRegex(comment, r"^[A-Z].{15,}\. (Required|Default)", where)

    def test_every_default_told_is_that_of_the_model(self) -> None:
        """A key that may be left out has the default that its comment tells; the others are told as required."""
        for where, _key, field, comment, _shown in self.each():
            if field.is_required():
                self.assertIn("Required", comment, where)
                self.assertNotIn("Default", comment, where)
            else:
                match = DEFAULT.search(comment)
                assert match is not None, where
                self.assertEqual(tomllib.loads(f"x = {match[1]}")["x"], plain(field.get_default()), where)

    def test_limits_and_timeouts_are_shown_at_their_defaults(self) -> None:
        """An operator who takes a file over changes no limit by that."""
        numbers = [item for item in self.each() if item[2].annotation is int]
        self.assertGreater(len(numbers), 30)
        for where, _key, field, _comment, shown in numbers:
            self.assertEqual(int(shown), field.default, where)

    def test_no_key_is_told_that_does_not_exist(self) -> None:
        """Nothing stands in a file that the models do not know, commented out or not."""
        for name, model in FILES.items():
            known = {(section, key) for section, key, _field in keys_of(model)}
            self.assertEqual(set(told_in((CONF / name).read_text("utf-8"))) - known, set(), name)

    def directory(self, tls: bool) -> Path:
        """A copy of conf/ with all the files it names, and with [tls] put in force or not."""
        directory = Path(self.mktemp())
        (directory / "secrets").mkdir(parents=True)
        (directory / "definitions").mkdir()
        for name in ("aggregator1", "git1", "operator", "workflow1"):
            (directory / "secrets" / name).write_text(f"the secret of {name}\n", "utf-8")
        (directory / "secrets" / "database").write_text("postgresql://g:pw@127.0.0.1/gandalf\n", "utf-8")
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (directory / name).touch()
        for name in FILES:
            text = (CONF / name).read_text("utf-8")
            if tls:
                text = re.sub(r"^#(\[tls\]|(ca|certificate|key) = )", r"\1", text, flags=re.MULTILINE)
            (directory / name).write_text(text, "utf-8")
        return directory

    def test_they_load(self) -> None:
        """Each file loads as it is, given the files that it names."""
        directory = self.directory(tls=False)
        aggregator = load(AggregatorConfig, directory / "aggregator.toml", {})
        self.assertEqual(aggregator.aggregator.secret.get_secret_value(), "the secret of aggregator1")
        cluster = load(ClusterConfig, directory / "cluster.toml", {})
        self.assertEqual(cluster.cluster.definitions, (directory.absolute() / "definitions",))
        connectors = load(ConnectorsConfig, directory / "connectors.toml", {})
        self.assertEqual([each.logical_name for each in connectors.connectors], ["git1", "workflow1"])
        self.assertEqual(load(OperatorConfig, directory / "operator.toml", {}).operator.logical_name, "operator")

    def test_they_load_with_tls(self) -> None:
        """The section [tls] that stands there as a comment can be put in force as it is."""
        directory = self.directory(tls=True)
        for name, model in FILES.items():
            tls = load(model, directory / name, {}).tls
            assert tls is not None
            self.assertEqual(tls.key, directory.absolute() / "key.pem")
