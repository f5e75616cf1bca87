"""From the configuration's `use` and `options` to a connector."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, SecretStr
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import Connector, Program
from gandalf.connector.programs import check_options, load

HERE = __name__
plain = Connector(type="test", product="memory", versions=[(1, 0)])
number = 3


class Options(BaseModel):
    """Options with a secret."""

    model_config = ConfigDict(extra="forbid")

    size: int
    password: SecretStr | None = None


def made(options: Mapping[str, object]) -> Program:
    """A connector that has options."""
    size = check_options(Options, options).size
    return Program(Connector(type=f"size{size}", product="memory", versions=[(1, 0)]))


def wrong(options: Mapping[str, object]) -> Connector:
    """Makes the wrong thing."""
    return plain


class LoadTests(SynchronousTestCase):
    """`load`."""

    def test_connector_is_its_own_program(self) -> None:
        """A `Connector` runs as it stands, with nothing beside it."""
        loaded = load(f"{HERE}:plain", {})
        self.assertIs(loaded.connector, plain)
        self.assertIsNone(loaded.beside)

    def test_function_is_given_its_options(self) -> None:
        """A function makes the program from the options, which may be texts, as an environment variable gives
        them."""
        for size in (7, "7"):
            self.assertEqual(load(f"{HERE}:made", {"size": size}).connector.type, "size7")

    def test_what_cannot_be_used_names_the_key(self) -> None:
        """A name that leads nowhere, or to something else, and options nobody takes: ValueErrors of key and
        value."""
        for use, options, said in (
            ("nowhere.at_all:x", {}, "use is 'nowhere.at_all:x': cannot be imported"),
            (f"{HERE}:nothing", {}, f"use is '{HERE}:nothing': cannot be imported"),
            (f"{HERE}:number", {}, f"use is '{HERE}:number': must name a Connector or"),
            (f"{HERE}:wrong", {}, f"use is '{HERE}:wrong': must name a Connector or"),
            (f"{HERE}:plain", {"b": 1, "a": 2}, f"options has a, b: {HERE}:plain takes no options"),
            (f"{HERE}:made", {"size": "big"}, 'options.size is "big": must be a valid integer'),
            (f"{HERE}:made", {}, "options.size: is required"),
            (f"{HERE}:made", {"size": 1, "sise": 1}, "options.sise: unknown; known here: password, size"),
        ):
            with self.subTest(use=use, options=options):
                with self.assertRaises(ValueError) as caught:
                    load(use, options)
                self.assertTrue(str(caught.exception).startswith(said), caught.exception)

    def test_secret_option_is_not_shown(self) -> None:
        """An option marked secret does not stand in the error."""
        with self.assertRaises(ValueError) as caught:
            load(f"{HERE}:made", {"size": 1, "password": 31337})
        self.assertNotIn("31337", str(caught.exception))
