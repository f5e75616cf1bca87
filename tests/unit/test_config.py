"""The configuration: what is taken, what is refused and how that is told, and that no secret is ever shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gandalf.config import (
    Address,
    AggregatorConfig,
    ClusterConfig,
    ConfigurationError,
    ConnectorsConfig,
    OperatorConfig,
    Problem,
    checked,
    load,
    masked,
)
from gandalf.config.errors import MASK, shown, without_passwords
from gandalf.config.fields import variables
from gandalf.config.loading import PREFIXES

SECRET = "correct horse battery staple"
URI = f"postgresql://gandalf:{SECRET.replace(' ', '-')}@db.example:5432/gandalf"
HERE = Path(__file__).parent

VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    (section, name)
    for section in ("aggregator", "api", "limits", "log")
    for name in ("logical_name", "listen", "cluster", "secret", "secret_file", "max_frame", "level")
]


def aggregator(**keys: object) -> dict[str, Any]:
    """The tables of an aggregator.toml that is in order, with `keys` of [aggregator] instead of its own."""
    table = {
        "logical_name": "aggregator1",
        "tenant": "tenant1",
        "listen": "127.0.0.1:9103",
        "cluster": ["127.0.0.1:9100"],
        "secret": SECRET,
    }
    return {"aggregator": {**table, **keys}}


def cluster(**keys: object) -> dict[str, Any]:
    """Likewise for a cluster.toml."""
    return {
        "cluster": {"logical_name": "cluster1", "listen": "127.0.0.1:9100", "database": URI, **keys},
    }


def operator() -> dict[str, Any]:
    """operator.toml with as little in it as can be."""
    return {"operator": {"tenant": "t", "aggregators": ["127.0.0.1:9103"], "secret": SECRET}}


def connectors(*tables: dict[str, Any]) -> dict[str, Any]:
    """Likewise for a connectors.toml, with `tables` as its [[connectors]]."""
    return {
        "connector": {"tenant": "tenant1", "aggregators": ["127.0.0.1:9103"]},
        "connectors": list(tables),
    }


def connector(**keys: object) -> dict[str, Any]:
    """One of [[connectors]] that is in order, with `keys` instead of its own."""
    return {"logical_name": "git1", "use": "gandalf.connector.git:program", "secret": SECRET, **keys}


def without(data: dict[str, Any], section: str, key: str) -> dict[str, Any]:
    """`data` less one key."""
    del data[section][key]
    return data


class ConfigCase(SynchronousTestCase):
    """Checks tables against the models, with the directory of this module as that of the file."""

    def check(self, model: Any, data: dict[str, Any], **environment: str) -> Any:
        """The configuration that `data` and `environment` give."""
        return checked(model, data, HERE, source="file F", environment=environment)

    def problems(self, model: Any, data: dict[str, Any], **environment: str) -> list[Problem]:
        """What is wrong with it; the secret of these tests is in none of the texts."""
        error = self.assertRaises(ConfigurationError, self.check, model, data, **environment)
        self.assertNotIn(SECRET, str(error))
        return list(error.problems)

    def problem(self, model: Any, data: dict[str, Any], **environment: str) -> Problem:
        """The one thing that is wrong with it."""
        (problem,) = self.problems(model, data, **environment)
        return problem


class Addresses(SynchronousTestCase):
    """host:port"""

    def test_every_form(self) -> None:
        """IPv4, IPv6 in brackets and host names are read, and written in one spelling."""
        for text, host, port, written in [
            ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
            ("[::1]:9103", "::1", 9103, "[::1]:9103"),
            ("[0:0::0001]:9103", "::1", 9103, "[::1]:9103"),
            ("Aggregator-1.example.org:65535", "aggregator-1.example.org", 65535, None),
            ("my_host:80", "my_host", 80, "my_host:80"),
        ]:
            self.assertEqual(Address.parse(text), Address(host, port))
            self.assertEqual(str(Address.parse(text)), written or text.lower())

    def test_what_is_no_address(self) -> None:
        """Everything else is refused with a ValueError that says why."""
        for text, reason in [
            ("", "host:port"),
            ("9103", "host:port"),
            (":9103", "host:port"),
            ("localhost:", "port"),
            ("localhost:0", "port"),
            ("localhost:65536", "port"),
            ("localhost:9103x", "port"),
            ("localhost:-1", "port"),
            ("localhost:\u0663", "port"),
            ("::1:9103", "brackets"),
            ("[127.0.0.1]:9103", "IPv6"),
            ("256.0.0.1:9103", "IPv4"),
            ("127.1:9103", "IPv4"),
            ("a b:9103", "host name"),
            ("-a:9103", "host name"),
            ("a..b:9103", "host name"),
            ("a" * 64 + ":9103", "host name"),
            ("postgresql://h:9103", "brackets"),
        ]:
            error = self.assertRaises(ValueError, Address.parse, text)
            self.assertIn(reason, str(error), text)

    def test_loopback(self) -> None:
        """127.0.0.0/8, ::1 and localhost are loopback, nothing else is."""
        for text in ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "LOCALHOST:1"):
            self.assertTrue(Address.parse(text).is_loopback, text)
        for text in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1", "[::2]:1"):
            self.assertFalse(Address.parse(text).is_loopback, text)

    @given(st.text() | st.from_regex(r"\A\[?[0-9a-f:.x]*\]?:[0-9]{0,6}\Z"))
    def test_any_text(self, text: str) -> None:
        """Any text either gives an address that its own writing gives again, or a ValueError."""
        try:
            address = Address.parse(text)
        except ValueError:
            return
        self.assertEqual(Address.parse(str(address)), address)


class Aggregators(ConfigCase):
    """aggregator.toml"""

    def test_defaults(self) -> None:
        """What is left out has its default; an empty advertise is listen."""
        config = self.check(AggregatorConfig, aggregator())
        self.assertEqual(config.aggregator.advertise, Address("127.0.0.1", 9103))
        self.assertEqual(config.aggregator.cluster, (Address("127.0.0.1", 9100),))
        self.assertEqual(config.aggregator.secret.get_secret_value(), SECRET)
        self.assertEqual(config.aggregator.secret_file, None)
        self.assertEqual((config.aggregator.max_timeout, config.aggregator.drain_timeout), (10000, 10000))
        self.assertEqual(config.api.listen, Address("127.0.0.1", 9203))
        self.assertEqual((config.log.level, config.log.format), ("info", "text"))
        self.assertEqual(config.limits.max_frame, 8388608)
        self.assertEqual(config.limits.max_connections, 20000)
        self.assertEqual(config.tls, None)

    def test_it_is_frozen(self) -> None:
        """Nothing changes a configuration afterwards."""
        config = self.check(AggregatorConfig, aggregator())
        with self.assertRaises(ValidationError):
            config.aggregator.tenant = "tenant2"

    def test_validated_in_one_way_only(self) -> None:
        """A model validated without what its values are checked against is a programming error."""
        self.assertRaises(TypeError, AggregatorConfig.model_validate, {**aggregator(), "log": {}})

    def test_all_errors_at_once(self) -> None:
        """Every error is told, of every section, of single keys and of those that depend on others."""
        data = aggregator(logical_name="a b", max_timeout=0, secret="", cluster=[], listen="x")
        del data["aggregator"]["tenant"]
        data.update(api={"listen": 5}, limits={"max_frame": 4096, "unknown": 1}, log={"level": "loud"})
        problems = self.problems(AggregatorConfig, data, GANDALF_AGGREGATOR__LOG__COLOUR="red")
        self.assertEqual(
            [problem.key for problem in problems],
            [
                "GANDALF_AGGREGATOR__LOG__COLOUR",
                "aggregator.logical_name",
                "aggregator.listen",
                "aggregator.secret",
                "aggregator.tenant",
                "aggregator.cluster",
                "aggregator.max_timeout",
                "api.listen",
                "limits.handshake_max_frame",
                "limits.unknown",
                "log.level",
            ],
        )

    def test_the_text_of_the_error(self) -> None:
        """The text has a line for each error with key, value, what is allowed and where it came from."""
        data = aggregator(tenant="no spaces", max_timeout=3_600_001)
        error = self.assertRaises(ConfigurationError, self.check, AggregatorConfig, data)
        self.assertEqual(
            str(error),
            "the configuration has 2 errors:\n"
            '  aggregator.tenant = "no spaces": not a name; allowed: 1 to 128 characters: letters, digits, '
            '".", "_" and "-" (from file F)\n'
            "  aggregator.max_timeout = 3600001: too large; allowed: 1 to 3600000 ms (from file F)",
        )

    def test_kinds_are_not_guessed(self) -> None:
        """A value of another kind than the key's is refused, also when it could be converted."""
        for section, key, value, reason in [
            ("aggregator", "max_timeout", "10000", "not a whole number"),
            ("aggregator", "max_timeout", True, "not a whole number"),
            ("aggregator", "max_timeout", 1.0, "not a whole number"),
            ("aggregator", "tenant", 1, "not text"),
            ("aggregator", "listen", 9103, "not text"),
            ("aggregator", "cluster", "127.0.0.1:9100", "not a list"),
            ("aggregator", "secret_file", 1, "not text"),
            ("log", "level", 1, "not one of the words"),
        ]:
            data = aggregator(secret="") if key == "secret_file" else aggregator()
            data.setdefault(section, {})[key] = value
            problem = self.problem(AggregatorConfig, data)
            self.assertEqual((problem.key, problem.reason), (f"{section}.{key}", reason))

    def test_a_section_left_out_or_of_another_kind(self) -> None:
        """Without [aggregator] its missing keys are told; a section that is no table is told as such."""
        missing = [problem.key for problem in self.problems(AggregatorConfig, {})]
        names = ["logical_name", "listen", "secret", "tenant", "cluster"]
        self.assertEqual(missing, [f"aggregator.{name}" for name in names])
        problem = self.problem(AggregatorConfig, {**aggregator(), "log": "info"})
        self.assertEqual((problem.key, problem.value, problem.reason), ("log", '"info"', "not a table"))

    def test_unknown_keys(self) -> None:
        """An unknown key is told with the nearest known one, and never with its value."""
        data = {**aggregator(secrte=SECRET), "limit": {"max_frame": 1}}
        inner, outer = self.problems(AggregatorConfig, data)
        self.assertEqual((inner.key, inner.value), ("aggregator.secrte", ""))
        self.assertIn("did you mean secret?", inner.reason)
        self.assertEqual((outer.key, outer.value), ("limit", ""))
        self.assertIn("did you mean limits?", outer.reason)
        self.assertIn("max_timeout", inner.allowed)

    def test_plain_tcp_on_loopback_only(self) -> None:
        """Without [tls], listen, advertise and each cluster address must be loopback; the key is named."""
        for key, value, named in [
            ("listen", "10.0.0.1:9103", "aggregator.listen"),
            ("advertise", "10.0.0.1:9103", "aggregator.advertise"),
            ("cluster", ["127.0.0.1:9100", "cluster.example:9100"], "aggregator.cluster[1]"),
        ]:
            problem = self.problem(AggregatorConfig, aggregator(**{key: value}))
            self.assertEqual(problem.key, named)
            self.assertIn("no [tls]", problem.reason)
            self.assertIn("127.0.0.0/8, ::1 or localhost", problem.allowed)

    def test_with_tls_any_address(self) -> None:
        """With [tls], all addresses may be used, and its files are found from the file's directory."""
        files = dict.fromkeys(("ca", "certificate", "key"), Path(__file__).name)
        data = aggregator(listen="0.0.0.0:9103", advertise="a.example:1", cluster=["c.example:1"])
        config = self.check(AggregatorConfig, {**data, "tls": files})
        self.assertEqual(config.tls.ca, Path(__file__))

    def test_tls_files(self) -> None:
        """Each file of [tls] must be named, and be a file that is there."""
        data = {**aggregator(), "tls": {"ca": "no.pem", "certificate": "."}}
        told = [(problem.key, problem.reason) for problem in self.problems(AggregatorConfig, data)]
        self.assertEqual(
            told,
            [
                ("tls.ca", "no such file"),
                ("tls.certificate", "a file of another kind"),
                ("tls.key", "missing"),
            ],
        )

    def test_files_of_others(self) -> None:
        """A file that the program's user may not read is told."""
        self.patch(os, "access", lambda path, mode: False)
        problems = self.problems(AggregatorConfig, {**aggregator(), "tls": {"ca": __file__}})
        self.assertEqual((problems[0].key, problems[0].reason), ("tls.ca", "may not be read"))

    def test_paths_that_no_file_has(self) -> None:
        """An empty path, one too long and one with a NUL are errors like another."""
        for path in ("", "x" * 5000, "a\0b"):
            problems = self.problems(AggregatorConfig, {**aggregator(), "tls": {"ca": path}})
            self.assertEqual(problems[0].key, "tls.ca")

    def test_advertise_must_be_dialled(self) -> None:
        """A listener on all addresses must say which one others dial, and that is not a wildcard."""
        files = dict.fromkeys(("ca", "certificate", "key"), __file__)
        for keys in ({"listen": "0.0.0.0:1"}, {"listen": "[::]:1"}, {"advertise": "0.0.0.0:1"}):
            problem = self.problem(AggregatorConfig, {**aggregator(**keys), "tls": files})
            self.assertEqual(problem.key, "aggregator.advertise")

    def test_no_address_twice(self) -> None:
        """An address given twice, in whatever spelling, is an error."""
        problem = self.problem(AggregatorConfig, aggregator(cluster=["[::1]:1", "[0::1]:1"]))
        self.assertEqual((problem.key, problem.reason), ("aggregator.cluster", "[::1]:1 is given twice"))

    def test_limits_that_depend_on_others(self) -> None:
        """No frame may be too long for what is kept, nor the first one longer than any."""
        problem = self.problem(AggregatorConfig, {**aggregator(), "limits": {"unacknowledged_bytes": 2048}})
        self.assertEqual(problem.key, "limits.unacknowledged_bytes")
        self.assertIn("8388608", problem.reason)
        problem = self.problem(AggregatorConfig, {**aggregator(), "limits": {"max_frame": 2048}})
        self.assertEqual(problem.key, "limits.handshake_max_frame")

    def test_bursts_of_limits(self) -> None:
        """A burst without a limit would mean nothing."""
        for whose in ("connection", "tenant"):
            burst = {f"{whose}_burst": 5}
            problem = self.problem(AggregatorConfig, {**aggregator(), "limits": burst})
            self.assertEqual((problem.key, problem.reason.split()[0]), (f"limits.{whose}_burst", f"{whose}_rate"))
            self.check(AggregatorConfig, {**aggregator(), "limits": {**burst, f"{whose}_rate": 1}})
            problem = self.problem(AggregatorConfig, {**aggregator(), "limits": {**burst, f"{whose}_rate": -1}})
            self.assertEqual(problem.key, f"limits.{whose}_rate")

    @given(st.sampled_from(KEYS), VALUES)
    def test_any_value(self, key: tuple[str, str], value: object) -> None:
        """Whatever value a key has, the configuration is taken or a ConfigurationError names that section."""
        section, name = key
        data = aggregator()
        data.setdefault(section, {})[name] = value
        try:
            self.check(AggregatorConfig, data)
        except ConfigurationError as error:
            self.assertEqual({problem.key.split(".")[0] for problem in error.problems}, {section})


class Secrets(ConfigCase):
    """secret and secret_file"""

    def file(self, content: bytes) -> str:
        """The path of a file with `content`."""
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path.absolute())

    def test_from_a_file(self) -> None:
        """The content of the file, less the white space around it, is the secret."""
        path = self.file(f"  {SECRET}\n".encode())
        config = self.check(AggregatorConfig, aggregator(secret="", secret_file=path))
        self.assertEqual(config.aggregator.secret.get_secret_value(), SECRET)
        self.assertEqual(config.aggregator.secret_file, Path(path))

    def test_exactly_one(self) -> None:
        """Neither and both are errors."""
        problem = self.problem(AggregatorConfig, without(aggregator(), "aggregator", "secret"))
        self.assertEqual(problem.key, "aggregator.secret")
        self.assertIn("neither secret nor secret_file", problem.reason)
        problem = self.problem(AggregatorConfig, aggregator(secret_file=self.file(b"x")))
        self.assertEqual((problem.key, problem.value), ("aggregator.secret", MASK))
        self.assertIn("both secret and secret_file", problem.reason)

    def test_files_without_a_secret(self) -> None:
        """A file that is missing, empty, of several lines, too long or not text is told once, by its path."""
        paths = [self.file(content) for content in (b" \n", b"a\nb", b"x" * 1025, b"\xff\xfe")]
        for path in ["/no/such/file", *paths]:
            problem = self.problem(AggregatorConfig, aggregator(secret="", secret_file=path))
            self.assertEqual((problem.key, problem.value), ("aggregator.secret_file", json.dumps(path)))

    def test_a_bad_secret_is_not_shown(self) -> None:
        """Of a secret that is of another kind, too long or unprintable nothing is shown."""
        for secret in (123456789, [SECRET], {"a": SECRET}, SECRET * 100, f"{SECRET}\n"):
            problem = self.problem(AggregatorConfig, aggregator(secret=secret))
            self.assertEqual((problem.key, problem.value), ("aggregator.secret", MASK))
            self.assertNotIn("123456789", str(problem))

    def test_a_uri_in_the_wrong_place(self) -> None:
        """A password in a URI is not shown either, whichever key it is given for."""
        problem = self.problem(ClusterConfig, cluster(database="", database_file=URI))
        self.assertEqual(problem.key, "cluster.database_file")
        self.assertNotIn("correct-horse", str(problem))

    def test_repr(self) -> None:
        """Neither the secret nor the database's URI is in the repr of a configuration."""
        for config in (self.check(AggregatorConfig, aggregator()), self.check(ClusterConfig, cluster())):
            self.assertNotIn(SECRET, repr(config))
            self.assertNotIn("correct-horse", repr(config))

    @given(st.text(alphabet=st.characters(exclude_characters="/@:& '\"?#", categories=["L", "N", "P", "S"])))
    def test_passwords_of_uris(self, password: str) -> None:
        """What stands where a URI has its password is masked, and a `password` parameter."""
        self.assertEqual(
            without_passwords(f"postgresql://user:{password}@h/db?sslmode=require"),
            f"postgresql://user:{MASK}@h/db?sslmode=require",
        )
        self.assertEqual(without_passwords(f"host=h password={password}"), f"host=h password={MASK}")


class Clusters(ConfigCase):
    """cluster.toml"""

    def test_defaults(self) -> None:
        """What is left out has its default; no status address is none."""
        config = self.check(ClusterConfig, cluster())
        self.assertEqual(config.cluster.advertise, Address("127.0.0.1", 9100))
        self.assertEqual(config.cluster.database.get_secret_value(), URI)
        self.assertEqual(config.cluster.definitions, ())
        self.assertEqual(config.cluster.administrators, ("gandalf",))
        self.assertEqual(config.status.listen, None)

    def test_database(self) -> None:
        """Only a libpq URI with a database's name is taken; what is refused is not shown."""
        for text in (
            "host=h password=correct-horse dbname=d",
            "mysql://u:correct-horse@h/d",
            "postgresql://u:correct-horse@h",
            "postgresql://u:correct-horse@h/d?colour=red",
            "postgresql://u:correct-horse@[h/d",
            "postgresql://u:correct-horse@h/d%00",
            "postgresql://u:correct\0horse@h/d",
        ):
            problem = self.problem(ClusterConfig, cluster(database=text))
            self.assertEqual((problem.key, problem.value), ("cluster.database", MASK), text)
            self.assertNotIn("correct", str(problem))

    def test_database_from_a_file(self) -> None:
        """The content of database_file is checked as the URI it stands for."""
        path = Path(self.mktemp())
        path.write_text(f"{URI}\n", "utf-8")
        config = self.check(ClusterConfig, cluster(database="", database_file=str(path.absolute())))
        self.assertEqual(config.cluster.database.get_secret_value(), URI)
        path.write_text("mysql://h/d\n", "utf-8")
        problem = self.problem(ClusterConfig, cluster(database="", database_file=str(path.absolute())))
        self.assertIn("not a libpq URI", problem.reason)

    def test_definitions(self) -> None:
        """Files and directories of definitions are found from the file's directory; others are told."""
        config = self.check(ClusterConfig, cluster(definitions=[".", Path(__file__).name]))
        self.assertEqual(config.cluster.definitions, (HERE, Path(__file__)))
        problem = self.problem(ClusterConfig, cluster(definitions=[".", "nowhere"]))
        self.assertEqual((problem.key, problem.value), ("cluster.definitions[1]", '"nowhere"'))

    def test_administrators(self) -> None:
        """Tenants are named, none twice; the variable gives them comma separated; an empty list is one."""
        config = self.check(ClusterConfig, cluster(administrators=["gandalf", "acme"]))
        self.assertEqual(config.cluster.administrators, ("gandalf", "acme"))
        variable = "GANDALF_CLUSTER__CLUSTER__ADMINISTRATORS"
        for text, names in (("gandalf, tenant1", ("gandalf", "tenant1")), ("", ())):
            config = self.check(ClusterConfig, cluster(), **{variable: text})
            self.assertEqual(config.cluster.administrators, names)
        wrong: list[tuple[object, str, str]] = [
            (["acme", "acme"], "cluster.administrators", "acme is given twice"),
            (["acme", "a b"], "cluster.administrators[1]", "not a name"),
            ("acme", "cluster.administrators", "not a list"),
        ]
        for value, key, reason in wrong:
            problem = self.problem(ClusterConfig, cluster(administrators=value))
            self.assertEqual(problem.key, key)
            self.assertIn(reason, problem.reason)

    def test_status(self) -> None:
        """An address for the status is read."""
        config = self.check(ClusterConfig, {**cluster(), "status": {"listen": "[::1]:9300"}})
        self.assertEqual(config.status.listen, Address("::1", 9300))


class Connectors(ConfigCase):
    """connectors.toml"""

    def test_two_connectors(self) -> None:
        """Each table is a connector; options are handed on as they are."""
        options = {"root": "repositories", "deep": {"list": [1, 2]}}
        data = connectors(connector(options=options), connector(logical_name="git2", bind="[::1]:1"))
        config = self.check(ConnectorsConfig, data)
        first, second = config.connectors
        self.assertEqual((first.options, first.bind), (options, None))
        self.assertEqual((second.options, second.bind), ({}, Address("::1", 1)))

    def test_logical_names_are_unique(self) -> None:
        """A name met before is told at its second place, along with all other errors."""
        data = connectors(connector(), connector(use="nowhere"), connector(logical_name="git2", secret=""))
        told = [problem.key for problem in self.problems(ConnectorsConfig, data)]
        self.assertEqual(told, ["connectors[1].logical_name", "connectors[1].use", "connectors[2].secret"])

    def test_at_least_one(self) -> None:
        """A file that names no connector is an error."""
        problem = self.problem(ConnectorsConfig, connectors())
        self.assertEqual((problem.key, problem.reason), ("connectors", "too few"))
        problem = self.problem(ConnectorsConfig, {"connector": connectors()["connector"]})
        self.assertEqual((problem.key, problem.reason), ("connectors", "missing"))

    def test_use(self) -> None:
        """Only package.module:attribute is taken."""
        for text in ("git", "git:", ":connector", "a..b:c", "a.b:c.d", "a-b:c", "os:system()", "a:b\n"):
            problem = self.problem(ConnectorsConfig, connectors(connector(use=text)))
            self.assertEqual(problem.key, "connectors[0].use", text)

    def test_tables_are_not_shown(self) -> None:
        """A list of tables in the wrong place is told by its kind: there may be secrets in it."""
        data = {**connectors(), "connectors": {"git1": connector()}}
        problem = self.problem(ConnectorsConfig, data)
        self.assertEqual((problem.key, problem.value), ("connectors", "(a table)"))
        self.assertEqual(shown([connector()]), "(a list of tables)")
        self.assertEqual(shown((connector(),)), "(a list of tables)")

    def test_plain_tcp_on_loopback_only(self) -> None:
        """Without [tls], the aggregators and each bind must be loopback addresses."""
        data = connectors(connector(bind="10.0.0.1:1"))
        data["connector"]["aggregators"] = ["10.0.0.1:9103"]
        told = [problem.key for problem in self.problems(ConnectorsConfig, data)]
        self.assertEqual(told, ["connector.aggregators[0]", "connectors[0].bind"])


class Environment(ConfigCase):
    """Overrides by environment variables."""

    def test_each_kind(self) -> None:
        """Text, whole numbers and lists are read from their variables, also for sections not in the file."""
        config = self.check(
            AggregatorConfig,
            aggregator(),
            GANDALF_AGGREGATOR__API__LISTEN="127.0.0.1:9300",
            GANDALF_AGGREGATOR__AGGREGATOR__CLUSTER="127.0.0.1:1, localhost:2",
            GANDALF_AGGREGATOR__AGGREGATOR__MAX_TIMEOUT="500",
            GANDALF_AGGREGATOR__TLS__CA=__file__,
            GANDALF_AGGREGATOR__TLS__CERTIFICATE=__file__,
            GANDALF_AGGREGATOR__TLS__KEY=__file__,
        )
        self.assertEqual(config.api.listen, Address("127.0.0.1", 9300))
        self.assertEqual(config.aggregator.cluster, (Address("127.0.0.1", 1), Address("localhost", 2)))
        self.assertEqual(config.aggregator.max_timeout, 500)
        self.assertEqual(config.tls.key, Path(__file__))

    def test_an_empty_list(self) -> None:
        """A variable without content is a list without items."""
        problem = self.problem(AggregatorConfig, aggregator(), GANDALF_AGGREGATOR__AGGREGATOR__CLUSTER="")
        self.assertEqual((problem.key, problem.value), ("aggregator.cluster", "[]"))

    def test_errors_name_the_variable(self) -> None:
        """An error in an overridden value names the variable, not the file; also one in an item of a list."""
        number = "GANDALF_AGGREGATOR__AGGREGATOR__MAX_TIMEOUT"
        members = "GANDALF_AGGREGATOR__AGGREGATOR__CLUSTER"
        problems = self.problems(AggregatorConfig, aggregator(), **{number: "soon", members: "x"})
        self.assertEqual(
            [(problem.key, problem.value, problem.source) for problem in problems],
            [
                ("aggregator.cluster[0]", '"x"', f"variable {members}"),
                ("aggregator.max_timeout", '"soon"', f"variable {number}"),
            ],
        )

    def test_unknown_variables(self) -> None:
        """A variable with our prefix that names no key is an error, with the nearest and without its value."""
        for variable, nearest in [
            ("GANDALF_AGGREGATOR__AGGREGATOR__SECRTE", "GANDALF_AGGREGATOR__AGGREGATOR__SECRET"),
            ("GANDALF_AGGREGATOR__API", "GANDALF_AGGREGATOR__API__LISTEN"),
            ("GANDALF_AGGREGATOR__API__LISTEN__HOST", "GANDALF_AGGREGATOR__API__LISTEN"),
        ]:
            problem = self.problem(AggregatorConfig, aggregator(), **{variable: SECRET})
            self.assertEqual((problem.key, problem.value), (variable, ""))
            self.assertIn(f"did you mean {nearest}?", problem.reason)

    def test_other_variables(self) -> None:
        """Variables of the other programs, and all others, mean nothing here."""
        others = {"GANDALF_CLUSTER__NONSENSE": "x", "GANDALF_AGGREGATOR": "x", "HOME": "x"}
        self.check(AggregatorConfig, aggregator(), **others)

    def test_connectors(self) -> None:
        """A connector's keys are overridden by its number, its options as text."""
        config = self.check(
            ConnectorsConfig,
            connectors(connector(), connector(logical_name="git2", secret="", options={"Root": "a", "b": 1})),
            GANDALF_CONNECTOR__CONNECTORS__1__SECRET=SECRET,
            GANDALF_CONNECTOR__CONNECTORS__1__OPTIONS__ROOT="b",
            GANDALF_CONNECTOR__CONNECTORS__0__OPTIONS__NEW_KEY="c",
        )
        self.assertEqual(config.connectors[1].secret.get_secret_value(), SECRET)
        self.assertEqual(config.connectors[1].options, {"Root": "b", "b": 1})
        self.assertEqual(config.connectors[0].options, {"new_key": "c"})

    def test_connectors_that_are_not_there(self) -> None:
        """A number no connector has, one left out, or a whole table, is an unknown variable."""
        for end in ("1__SECRET", "SECRET", "0", "0__OPTIONS", "-1__SECRET", "\u0660__SECRET"):
            variable = f"GANDALF_CONNECTOR__CONNECTORS__{end}"
            problem = self.problem(ConnectorsConfig, connectors(connector()), **{variable: SECRET})
            self.assertEqual(problem.key, variable)

    def test_a_section_of_another_kind(self) -> None:
        """An override within what is no table leaves the error of the file as it is."""
        data = {**aggregator(), "log": 5}
        problem = self.problem(AggregatorConfig, data, GANDALF_AGGREGATOR__LOG__LEVEL="debug")
        self.assertEqual((problem.key, problem.reason, problem.source), ("log", "not a table", "file F"))

    def test_every_key_has_its_variable(self) -> None:
        """Whatever key a model has, its variable reaches it: a bad value is told under that variable's name."""
        tables = {
            AggregatorConfig: aggregator,
            ClusterConfig: cluster,
            ConnectorsConfig: lambda: connectors(connector()),
            OperatorConfig: operator,
        }
        bad = "\0"
        for model, prefix in PREFIXES.items():
            for variable in variables(model, prefix):
                if variable.endswith("__OPTIONS"):
                    continue
                problems = self.problems(model, tables[model](), **{variable: bad})
                self.assertIn(f"variable {variable}", [problem.source for problem in problems])


class Files(ConfigCase):
    """Reading the file."""

    def write(self, content: bytes) -> Path:
        """A file with `content`."""
        path = Path(self.mktemp())
        path.write_bytes(content)
        return path

    def test_a_whole_file(self) -> None:
        """A file is read, with paths relative to its own directory."""
        path = self.write(
            b'[aggregator]\nlogical_name = "a"\ntenant = "t"\nlisten = "[::1]:1"\n'
            b'cluster = ["localhost:1"]\nsecret_file = "the-secret"\n'
        )
        (path.parent / "the-secret").write_text(SECRET, "utf-8")
        config = load(AggregatorConfig, path, {"GANDALF_AGGREGATOR__LOG__LEVEL": "debug"})
        self.assertEqual(config.aggregator.secret.get_secret_value(), SECRET)
        self.assertEqual(config.aggregator.secret_file, path.absolute().parent / "the-secret")
        self.assertEqual(config.log.level, "debug")

    def test_errors_name_the_file(self) -> None:
        """What is wrong in the file is told with its path."""
        path = self.write(b"[aggregator]\n")
        error = self.assertRaises(ConfigurationError, load, AggregatorConfig, path, {})
        self.assertEqual({problem.source for problem in error.problems}, {f"file {path}"})

    def test_no_toml(self) -> None:
        """An error of syntax names the file and the line."""
        path = self.write(b'[aggregator]\ntenant = "t"\nlisten = nowhere\n')
        error = self.assertRaises(ConfigurationError, load, AggregatorConfig, path, {})
        self.assertIn(str(path), str(error))
        self.assertIn("line 3", str(error))

    def test_numbers_too_long(self) -> None:
        """A number that Python will not read, or not write, is an error like another."""
        for number in (b"9" * 5000, b"0x" + b"f" * 5000):
            path = self.write(b"[limits]\nheartbeat = " + number)
            self.assertRaises(ConfigurationError, load, AggregatorConfig, path, {})

    def test_unreadable(self) -> None:
        """A file that is not there, is a directory or is not UTF-8 is told as such."""
        directory = Path(self.mktemp())
        directory.mkdir()
        for path, reason in [
            (Path("/no/such.toml"), "No such file"),
            (directory, "directory"),
            (self.write(b"a = '\xff'"), "not UTF-8"),
        ]:
            error = self.assertRaises(ConfigurationError, load, AggregatorConfig, path, {})
            self.assertIn(str(path), str(error))
            self.assertIn(reason, str(error))


class Masked(ConfigCase):
    """The configuration in effect, for display."""

    def test_plain_values(self) -> None:
        """It is JSON-able, with addresses and paths as text and what is not there as null."""
        plain = masked(self.check(AggregatorConfig, aggregator(secret="", secret_file=self.secret_file())))
        self.assertEqual(json.loads(json.dumps(plain)), plain)
        self.assertEqual(plain["aggregator"]["cluster"], ["127.0.0.1:9100"])
        self.assertEqual(plain["aggregator"]["secret"], MASK)
        self.assertEqual(plain["tls"], None)
        self.assertEqual(plain["limits"]["heartbeat"], 10000)
        self.assertNotIn(SECRET, json.dumps(plain))

    def secret_file(self) -> str:
        """The path of a file with the secret."""
        path = Path(self.mktemp())
        path.write_text(SECRET, "utf-8")
        return str(path.absolute())

    def test_database(self) -> None:
        """Of the database's URI only the password is masked."""
        plain = masked(self.check(ClusterConfig, cluster()))
        self.assertEqual(plain["cluster"]["database"], f"postgresql://gandalf:{MASK}@db.example:5432/gandalf")

    def test_options(self) -> None:
        """Of a connector's options, what is called like a secret, and passwords in URIs, are masked."""
        options = {
            "root": "repositories",
            "api_token": SECRET,
            "remotes": [{"url": URI, "password": SECRET, "depth": 1}],
            "proxy": URI,
        }
        plain = masked(self.check(ConnectorsConfig, connectors(connector(options=options))))
        hidden = f"postgresql://gandalf:{MASK}@db.example:5432/gandalf"
        self.assertEqual(
            plain["connectors"][0]["options"],
            {
                "root": "repositories",
                "api_token": MASK,
                "remotes": [{"url": hidden, "password": MASK, "depth": 1}],
                "proxy": hidden,
            },
        )
        self.assertEqual(plain["connectors"][0]["secret"], MASK)
