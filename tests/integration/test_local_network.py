"""The local network of `make run`, and the command `gandalf` in it: everything is real but the directory."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.config import Address
from gandalf.local.places import Places
from gandalf.local.plan import Listener
from gandalf.local.ports import check_free
from gandalf.local.supervision import is_alive
from tests.integration.ports import free_port
from tests.integration.programs import ROOT, until

STARTED_WITHIN = 120.0


class LocalNetwork:
    """A directory like a checkout, with ports of its own."""

    def __init__(self) -> None:
        # As deep as to be too long for the address of a socket.
        self.directory = Path(tempfile.mkdtemp(prefix="gandalf-test-"))
        self.places = Places(self.directory / ("deep-" * 20))
        shutil.copytree(ROOT / "conf", self.places.configuration)
        self.ports = [free_port() for _ in range(4)]
        postgres, cluster, aggregator, api = self.ports
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GANDALF_")},
            "GANDALF_POSTGRES_PORT": str(postgres),
            "GANDALF_CLUSTER__CLUSTER__LISTEN": f"127.0.0.1:{cluster}",
            "GANDALF_AGGREGATOR__AGGREGATOR__LISTEN": f"127.0.0.1:{aggregator}",
            "GANDALF_AGGREGATOR__API__LISTEN": f"127.0.0.1:{api}",
        }

    def local(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m gandalf.local COMMAND`."""
        return subprocess.run(
            [sys.executable, "-m", "gandalf.local", command],
            cwd=self.places.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=STARTED_WITHIN,
        )

    def gandalf(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`gandalf ARGUMENTS`, somewhere in the directory."""
        return subprocess.run(
            [sys.executable, "-m", "gandalf.cli", *arguments],
            cwd=self.places.configuration,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def supervisord(self) -> int:
        """Its process id."""
        return int((self.places.var / "supervisord.pid").read_text())

    def remove(self) -> None:
        """Stop what runs, and remove the directory."""
        self.local("stop")
        shutil.rmtree(self.directory)


@functools.cache
def running() -> tuple[LocalNetwork, subprocess.CompletedProcess[str]]:
    """The network of all tests that leave it running, started by the first; and how its start ended."""
    network = LocalNetwork()
    atexit.register(network.remove)
    return network, network.local("start")


class RunningNetwork(SynchronousTestCase):
    """One network for all the tests."""

    def setUp(self) -> None:
        """It runs."""
        self.network, self.started = running()

    def gandalf(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command, and check how it ends."""
        done = self.network.gandalf(*arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done

    def test_a_start_tells_what_to_try(self) -> None:
        """Status 0, addresses, and the log-in for its owner only."""
        self.assertEqual(self.started.returncode, 0, self.started.stdout + self.started.stderr)
        api = f"http://127.0.0.1:{self.network.ports[3]}"
        self.assertIn(api, self.started.stdout)
        credentials = self.network.places.credentials
        self.assertEqual(credentials.stat().st_mode & 0o777, 0o600)
        content = json.loads(credentials.read_text())
        self.assertEqual(content["api"], api)
        self.assertEqual(content["login"][0], "Administrator1")
        self.assertEqual(len(content["login"]), len(content["password"]))

    def test_a_second_start_does_nothing(self) -> None:
        """It says that it runs: status 0, the same processes."""
        before = self.network.supervisord()
        again = self.network.local("start")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("runs already", again.stdout)
        self.assertEqual(self.network.supervisord(), before)

    def test_a_command_and_its_outcome(self) -> None:
        """Receipt, progress and success in order; the repository can be cloned."""
        said = self.gandalf("send", "vcs.CREATE_REPOSITORY", "name=demo").stdout
        self.assertEqual([line.split()[0] for line in said.splitlines()], ["TAKEN", "PROGRESS", "SUCCESS"])
        url = self.network.places.root / "var" / "repositories" / "demo.git"
        clone = self.network.directory / "clone"
        subprocess.run(["git", "clone", "--quiet", url, clone], check=True, capture_output=True)
        self.assertTrue((clone / ".git").is_dir())

    def test_a_failure(self) -> None:
        """Status 1, and its code."""
        self.gandalf("send", "vcs.CREATE_REPOSITORY", "name=twice")
        self.assertIn("ALREADY_EXISTS", self.gandalf("send", "vcs.CREATE_REPOSITORY", "name=twice", status=1).stdout)

    def test_a_command_for_nobody(self) -> None:
        """Status 3, and the error event's code."""
        self.assertIn("NO_ROUTE", self.gandalf("send", "nothing.X", status=3).stderr)

    def test_a_workflow_is_watched(self) -> None:
        """An event starts the workflow, whose events pass; Ctrl-C ends the watching in good order."""
        command = [sys.executable, "-m", "gandalf.cli", "watch", "--json", "project.>"]
        with subprocess.Popen(
            command,
            cwd=self.network.places.root,
            env=self.network.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            self.assertIn("watching project.>", watching.stderr.readline())
            self.assertEqual(
                self.gandalf("emit", "project.requested", "REQUESTED", "name=apollo").stdout, "recorded\n"
            )
            events = [json.loads(watching.stdout.readline()) for _ in range(2)]
            watching.send_signal(signal.SIGINT)
            self.assertEqual(watching.wait(20), 0)
            self.assertEqual(watching.stderr.read(), "")
        self.assertEqual([event["topic"] for event in events], ["project.requested", "project.ready"])
        self.assertEqual(events[1]["payload"]["name"], "apollo")

    def test_who_reads_the_watching_ends(self) -> None:
        """`gandalf watch | head -1` ends with its first event."""
        script = f"{sys.executable} -m gandalf.cli watch --json pipe | head -n 1"
        with subprocess.Popen(
            ["sh", "-c", script],
            cwd=self.network.places.root,
            env=self.network.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stderr is not None
            watching.stderr.readline()
            for number in (1, 2):
                self.gandalf("emit", "pipe", "E", f"number:={number}")
            output, errors = watching.communicate(timeout=20)
        self.assertEqual(json.loads(output)["payload"], {"number": 1})
        self.assertEqual(errors, "")

    def test_status(self) -> None:
        """Ready, and who is linked; nobody who has left is shown."""
        self.gandalf("send", "vcs.LIST_REPOSITORIES")
        status = json.loads(self.gandalf("status", "--json").stdout)
        self.assertTrue(status["status"]["ready"])
        names = sorted(link["logical_name"] for link in status["connections"])
        self.assertEqual(names, ["cluster1", "git1", "workflow1"])
        self.assertIn("git1", self.gandalf("status").stdout)

    def test_the_trace(self) -> None:
        """What was sent is found by topic, and its answers by reference."""
        self.gandalf("emit", "trace.test", "HAPPENED", "n:=1")
        (record,) = map(json.loads, self.gandalf("trace", "--topic", "trace.test", "--json").stdout.splitlines())
        self.assertEqual((record["event"], record["payload"], record["source"]), ("HAPPENED", '{"n":1}', "operator"))
        self.gandalf("send", "vcs.CREATE_REPOSITORY", "name=traced")
        sent = self.gandalf("trace", "--command", "CREATE_REPOSITORY", "--limit", "1", "--since", "1h", "--json")
        uuid = json.loads(sent.stdout)["uuid"]
        answers = self.gandalf("trace", "--reference", uuid, "--until", "2100-01-01", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["event"] for line in answers], ["TAKEN", "PROGRESS", "SUCCESS"])
        shown = self.gandalf("trace", "--uuid", uuid).stdout
        self.assertIn(uuid, shown)
        self.assertIn("CREATE_REPOSITORY", shown)

    def test_tenants(self) -> None:
        """One is created with its log-ins, listed, and not created twice."""
        made = json.loads(self.gandalf("tenant", "create", "acme").stdout)
        self.assertEqual((made["tenant"], made["login"][0]), ("acme", "Administrator1"))
        self.assertIn("acme", self.gandalf("tenant", "create", "acme", status=1).stderr)
        self.assertIn("lower-case", self.gandalf("tenant", "create", "Acme!", status=2).stderr)
        self.assertRegex(self.gandalf("tenant", "list").stdout, r"acme +gandalf_acme .* ready")
        names = [json.loads(line)["name"] for line in self.gandalf("tenant", "list", "--json").stdout.splitlines()]
        self.assertEqual(names, ["acme", "gandalf", "tenant1"])

    def test_secrets(self) -> None:
        """One is created, into a file if wanted, listed without itself, and revoked."""
        path = self.network.directory / "secret"
        self.gandalf("secret", "create", "connector", "mine", "--file", str(path))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.gandalf("secret", "create", "connector", "other", "--file", str(path), status=2)
        printed = self.gandalf("secret", "create", "connector", "mine", "--tenant", "gandalf").stdout.strip()
        self.gandalf("secret", "create", "connector", "mine", "--tenant", "nobody", status=1)
        listed = self.gandalf("secret", "list", "--tenant", "tenant1", "--json").stdout
        for secret in (printed, path.read_text().strip()):
            self.assertNotIn(secret, listed)
        found = {each["logical_name"]: each for each in map(json.loads, listed.splitlines())}
        self.assertIn("mine", found)
        self.assertNotIn("other", found)
        self.gandalf("secret", "revoke", found["mine"]["id"])
        self.assertIn("mine", self.gandalf("secret", "list").stdout)
        self.gandalf("secret", "revoke", "00000000-0000-0000-0000-000000000000", status=1)

    def test_a_refused_secret(self) -> None:
        """Status 3, with the cluster's reason; the secret is not shown."""
        secret = self.network.directory / "wrong"
        secret.write_text("a secret that nobody made\n")
        text = self.network.places.operator.read_text()
        settings = self.network.directory / "operator.toml"
        path = json.dumps(str(secret))
        settings.write_text(
            "\n".join(
                f"secret_file = {path}" if line.startswith("secret_file") else line
                for line in text.splitlines()
                if not line.startswith(("database_file", "credentials_file"))
            )
        )
        done = self.gandalf("--settings", str(settings), "send", "vcs.LIST_REPOSITORIES", status=3)
        self.assertIn("unknown", done.stderr)
        self.assertNotIn("nobody made", done.stderr)
        self.assertIn("--database", self.gandalf("--settings", str(settings), "trace", status=2).stderr)

    def test_many_at_once(self) -> None:
        """Several processes share the operator's name: each hears of its own command only."""
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "gandalf.cli", "send", "vcs.CREATE_REPOSITORY", f"name=many{number}"],
                cwd=self.network.places.root,
                env=self.network.environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(4)
        ]
        for number, process in enumerate(running):
            output = process.communicate(timeout=60)[0]
            self.assertEqual(process.returncode, 0, output)
            self.assertEqual(len(output.splitlines()), 3, output)
            self.assertIn(f"many{number}.git", output)


class Interrupted(SynchronousTestCase):
    """Starts and networks that are killed."""

    def setUp(self) -> None:
        """A network that has not been started."""
        self.network = LocalNetwork()
        self.addCleanup(self.network.remove)

    def assert_starts(self) -> None:
        """A start makes everything ready, and commands are carried out."""
        done = self.network.local("start")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        sent = self.network.gandalf("send", "vcs.LIST_REPOSITORIES")
        self.assertEqual(sent.returncode, 0, sent.stdout + sent.stderr)

    def kill_a_start_when(self, path: Path) -> None:
        """Start, and kill the start as soon as this file is there."""
        with subprocess.Popen(
            [sys.executable, "-m", "gandalf.local", "start"],
            cwd=self.network.places.root,
            env=self.network.environment,
            stdout=subprocess.DEVNULL,
        ) as starting:
            until(lambda: path.exists() or starting.poll() is not None, f"{path} is there", STARTED_WITHIN)
            starting.kill()

    def test_a_start_that_is_killed_at_several_points(self) -> None:
        """Each next start goes on; the last one finishes. The log-in is there and works, whatever was lost."""
        places = self.network.places
        for path in (
            places.socket,
            places.var / "postgres.new",
            places.postgres,
            places.database,
            places.secrets / "tenant1",
            places.operator,
        ):
            self.kill_a_start_when(path)
        places.credentials.unlink(missing_ok=True)  # as if killed between the tenant and its log-in
        self.assert_starts()
        self.assertEqual(len(json.loads(places.credentials.read_text())["password"]), 2)

    def test_a_killed_supervisord(self) -> None:
        """What it has left is ended by the next start, and by a stop; both may be repeated."""
        self.assert_starts()
        killed = self.network.supervisord()
        os.kill(killed, signal.SIGKILL)
        until(lambda: not is_alive(killed), "supervisord is gone")
        self.assert_starts()
        killed = self.network.supervisord()
        os.kill(killed, signal.SIGKILL)
        until(lambda: not is_alive(killed), "supervisord is gone")
        stopped = self.network.local("stop")
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertIn("ended: 4", stopped.stdout)
        self.assert_all_free()
        self.assertIn("does not run", self.network.local("stop").stdout)

    def assert_all_free(self) -> None:
        """Nobody listens any more."""
        check_free([Listener("it", Address("127.0.0.1", port), "x") for port in self.network.ports])

    def assert_refused_for_its_port(self) -> None:
        """Another network cannot take a port of the first: status 1, what changes it, and nothing is started."""
        busy = LocalNetwork()
        self.addCleanup(busy.remove)
        done = busy.local("start", GANDALF_AGGREGATOR__API__LISTEN=f"127.0.0.1:{self.network.ports[3]}")
        self.assertEqual(done.returncode, 1)
        for words in (str(self.network.ports[3]), "GANDALF_AGGREGATOR__API__LISTEN", "conf/aggregator.toml"):
            self.assertIn(words, done.stderr)
        self.assertFalse(busy.places.socket.exists())

    def test_stop_and_start_again(self) -> None:
        """A stop ends everything in good order and soon; what was made is there after the next start. Until then
        its ports are refused to others."""
        self.assert_starts()
        self.assert_refused_for_its_port()
        self.network.gandalf("send", "vcs.CREATE_REPOSITORY", "name=kept")
        before = self.network.places.credentials.read_text()
        began = time.monotonic()
        stopped = self.network.local("stop")
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("has ended", stopped.stdout)
        self.assert_all_free()
        self.assert_starts()
        self.assertIn("kept.git", self.network.gandalf("send", "vcs.LIST_REPOSITORIES").stdout)
        self.assertEqual(self.network.places.credentials.read_text(), before)

    def test_a_program_that_cannot_start(self) -> None:
        """Status 1, the program and the end of its log; nothing is left running; put right, it starts."""
        variable = {"GANDALF_CONNECTOR__CONNECTORS__0__OPTIONS__NONSENSE": "1"}
        done = self.network.local("start", **variable)
        self.assertEqual(done.returncode, 1, done.stdout)
        for words in ("connectors", "nonsense", "connectors.log"):
            self.assertIn(words, done.stderr)
        self.assert_all_free()
        self.assert_starts()
