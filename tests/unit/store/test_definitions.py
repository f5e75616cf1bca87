"""Definition files: what loads, and what the errors say."""

from __future__ import annotations

import json
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.definitions import (
    Definitions,
    InvalidDefinition,
    LogicalComponentDefinition,
    PivotDefinition,
    ProductConnectorDefinition,
    explain,
    load_definitions,
)

SHIPPED = Path(__file__).parents[3] / "conf" / "definitions"


class LoadTests(SynchronousTestCase):
    """`load_definitions`."""

    def load(self, text: str, suffix: str = ".yaml") -> Definitions:
        """Load a file of this content."""
        self.path = Path(self.mktemp()).with_suffix(suffix)
        self.path.write_text(text)
        return load_definitions(self.path)

    def refusal(self, text: str, suffix: str = ".yaml") -> str:
        """The error that a file of this content gives; it begins with the file's name."""
        message = str(self.assertRaises(InvalidDefinition, self.load, text, suffix))
        self.assertTrue(message.startswith(f"{self.path}: "), message)
        return message.removeprefix(f"{self.path}: ")

    def test_the_shipped_files(self) -> None:
        """The project's own definitions load, and hold the languages that its connectors speak."""
        definitions = load_definitions(SHIPPED)
        pivots = {pivot.name: pivot for pivot in definitions.pivots}
        self.assertEqual(set(pivots), {"aggregator", "vcs", "workflow"})
        self.assertEqual(
            {command.name for command in pivots["vcs"].commandtypes},
            {"CREATE_REPOSITORY", "LIST_REPOSITORIES", "CREATE_BRANCH", "DELETE_REPOSITORY"},
        )
        self.assertEqual([key.name for key in pivots["aggregator"].keys], ["repository_url"])
        products = {connector.product.name for connector in definitions.productconnectors}
        self.assertEqual(products, {"git", "python"})

    def test_yaml_toml_and_json_agree(self) -> None:
        """The same definition in each format is the same value."""
        yaml = self.load("pivots: [{name: p, major: 1, keys: [{name: k, defaultvalue: 3}]}]")
        toml = self.load('[[pivots]]\nname = "p"\nmajor = 1\nkeys = [{name = "k", defaultvalue = 3}]', ".toml")
        written = json.dumps(yaml.model_dump(mode="json"))
        self.assertEqual(yaml, toml)
        self.assertEqual(yaml, self.load(written, ".json"))
        self.assertEqual(yaml.pivots[0].keys[0].defaultvalue, "3")

    def test_an_empty_file(self) -> None:
        """A file without content defines nothing."""
        self.assertEqual(self.load("# nothing yet\n"), Definitions())

    def test_schemas_are_json_text(self) -> None:
        """A schema may be a map or JSON text; it is kept as text under the key `schema`."""
        text = "pivots: [{name: p, major: 1, eventtypes: [{name: e, schema: {type: object}}]}]"
        event = self.load(text).pivots[0].eventtypes[0]
        self.assertEqual(event.model_dump(mode="json"), {"name": "e", "schema": '{"type": "object"}'})

    def test_mistakes(self) -> None:
        """Each names the place, what is allowed, and the value."""
        for text, message in (
            ("pivots: 3", "pivots: Input should be a valid list; it is 3"),
            (
                "pivots: [{name: p, major: 300}]",
                "pivots.0.major: Input should be less than or equal to 127; it is 300",
            ),
            (
                "pivots: [{name: '', major: 1}]",
                "pivots.0.name: String should have at least 1 character; it is ''",
            ),
            ("pivots: [{name: p}]", "pivots.0.major: Field required; it is {'name': 'p'}"),
            (
                "pivot: []",
                "the whole: unknown key 'pivot'; allowed: logicalcomponents, pivots, productconnectors;"
                " it is {'pivot': []}",
            ),
            (
                "pivots: [{name: p, major: 1, eventtypes: [{name: e, schema: '[]'}]}]",
                "pivots.0.eventtypes.0.schema: must be a JSON schema, so a JSON object; it is '[]'",
            ),
            (
                "logicalcomponents: [{logicalname: c, type: router}]",
                "logicalcomponents.0.type: Input should be 'connector', 'aggregator' or 'cluster'; it is 'router'",
            ),
        ):
            self.assertEqual(self.refusal(text), message)

    def test_several_mistakes_are_all_told(self) -> None:
        """Each has a line of its own, with the file's name."""
        lines = self.refusal("pivots: [{name: 3, major: x}]").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn("pivots.0.major", lines[1])
        self.assertIn(str(self.path), lines[1])

    def test_the_same_name_twice(self) -> None:
        """One of the two could not be stored."""
        message = self.refusal("pivots: [{name: p, major: 1, keys: [{name: k}, {name: k}]}]")
        self.assertIn("keys: each name may be there once, but 'k' is there again", message)

    def test_not_yaml_not_toml_not_text(self) -> None:
        """A file that cannot be parsed is named, with the parser's reason."""
        self.assertIn("cannot be read as yaml", self.refusal("a: ["))
        self.assertIn("cannot be read as toml", self.refusal("a: [", ".toml"))
        path = Path(self.mktemp()).with_suffix(".yaml")
        path.write_bytes(b"\xff\xfe\x00")
        self.assertRaises(InvalidDefinition, load_definitions, path)

    def test_a_directory(self) -> None:
        """All its definition files count, in the order of their names; other files do not."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "b.yaml").write_text("pivots: [{name: b, major: 1}]")
        (directory / "a.toml").write_text('[[pivots]]\nname = "a"\nmajor = 1')
        (directory / "README").write_text("no definition")
        self.assertEqual([pivot.name for pivot in load_definitions(directory).pivots], ["a", "b"])

    @given(text=st.text(max_size=200) | st.from_regex(r"pivots: \[\{[a-z]+: [^\n]{0,40}\}\]", fullmatch=True))
    def test_no_text_raises_anything_else(self, text: str) -> None:
        """Whatever a file holds, it loads or is refused with the module's own error."""
        path = Path(self.mktemp()).with_suffix(".yaml")
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            load_definitions(path)
        except InvalidDefinition as error:
            self.assertIn(str(path), str(error))
        finally:
            path.unlink()


class ModelTests(SynchronousTestCase):
    """Definitions from elsewhere: uploads, downloads, messages."""

    def test_the_go_systems_extra_keys_are_ignored(self) -> None:
        """An empty `model`, keys of another case, and lists left empty do no harm."""
        pivot = PivotDefinition.model_validate(
            {"model": {}, "name": "p", "major": 1, "minor": 2, "Keys": [3], "keys": None, "other": 1}
        )
        self.assertEqual(pivot, PivotDefinition(name="p", major=1, minor=2))

    def test_what_a_component_needs(self) -> None:
        """A connector needs a product connector, anything else a pivot."""
        for type, missing in (
            ("connector", "productconnector"),
            ("aggregator", "pivot"),
            ("cluster", "pivot"),
        ):
            error = self.assertRaises(
                ValidationError, LogicalComponentDefinition.model_validate, {"logicalname": "c", "type": type}
            )
            self.assertIn(missing, explain(error)[0])

    def test_what_a_component_says(self) -> None:
        """What is missing or null is not said; what is empty is."""
        component = {"logicalname": "c", "type": "aggregator", "pivot": {"name": "aggregator", "major": 1}}
        for sent, said in (
            (component, False),
            ({**component, "keyvalues": None}, False),
            ({**component, "keyvalues": []}, True),
        ):
            definition = LogicalComponentDefinition.model_validate(sent)
            self.assertEqual((definition.says("keyvalues"), definition.keyvalues), (said, []))
        again = LogicalComponentDefinition.model_validate_json(definition.model_dump_json())
        self.assertTrue(again.says("description"))

    def test_the_character_that_the_database_cannot_hold(self) -> None:
        """NUL is refused in names, texts and schemas."""
        for wrong in ({"name": "a\0"}, {"name": "a", "keys": [{"name": "k", "defaultvalue": "\0"}]}):
            error = self.assertRaises(ValidationError, PivotDefinition.model_validate, {"major": 1, **wrong})
            self.assertEqual(len(explain(error)), 1)

    def test_long_values_are_shortened(self) -> None:
        """An error shows no more than eighty characters of a value."""
        error = self.assertRaises(ValidationError, PivotDefinition.model_validate, {"name": "p" * 300, "major": 1})
        self.assertIn("it is 'ppp", explain(error)[0])
        self.assertLess(len(explain(error)[0]), 180)

    def test_a_list_of_mistakes_costs_no_more_than_one(self) -> None:
        """What a peer sends may hold millions: of a list the first that is wrong is told."""
        for part in ("keys", "commandtypes", "eventtypes", "resourcetypes"):
            wrong = {"name": "p", "major": "x", part: [{"name": "k"}, {"name": 3}, *[0] * 1000]}
            error = self.assertRaises(ValidationError, PivotDefinition.model_validate, wrong)
            self.assertEqual([line.split(":")[0] for line in explain(error)], ["major", f"{part}.1.name"])
        for part in ("keyvalues", "resources"):
            component = {"logicalname": "c", "type": "connector", part: [0] * 1000}
            error = self.assertRaises(ValidationError, LogicalComponentDefinition.model_validate, component)
            self.assertEqual([line.split(":")[0] for line in explain(error)], [f"{part}.0"])

    def test_many_names(self) -> None:
        """Looking for a name that is there twice takes no longer for each of many than for each of few."""
        keys = [{"name": f"k{number}"} for number in range(40_000)]
        began = time.process_time()
        PivotDefinition.model_validate({"name": "p", "major": 1, "keys": keys})
        # It takes a twentieth of that; compared each with each, several times as long.
        self.assertLess(time.process_time() - began, 4.0)

    def test_dumped_and_read_again(self) -> None:
        """What is dumped as JSON is read back as the same value."""
        connector = ProductConnectorDefinition.model_validate(
            {
                "name": "git",
                "major": 1,
                "pivot": {"name": "vcs", "major": 1},
                "product": {"name": "git"},
                "commandtypes": [{"name": "C", "schema": {"type": "object"}}],
            }
        )
        again = ProductConnectorDefinition.model_validate_json(json.dumps(connector.model_dump(mode="json")))
        self.assertEqual(again, connector)
