"""Any program that speaks HTTP is a client of the network: commands, the stream of events, the trace and steering,
at two instances of an aggregator."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.deployment import Deployment, logs
from tests.integration.programs import Program, until


class Client:
    """An administrator of the tenant at one instance of the aggregator."""

    def __init__(self, network: Deployment, number: int) -> None:
        self.port = network.api_ports[number]
        self.headers: dict[str, str] = {}
        log_in = {"login": network.logins.login[0], "password": network.logins.password[0]}
        self.headers["Authorization"] = f"Bearer {self.ask('POST', '/login', log_in)[1]['token']}"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        """Status, JSON and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1{path}", data, self.headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None, answer.headers


class Stream:
    """An event stream that is read."""

    def __init__(self, client: Client, query: str = "", **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
        self.connection.request("GET", f"/api/v1/events{query}", headers=client.headers | headers)
        self.answer = self.connection.getresponse()

    def event(self) -> dict[str, Any]:
        """The next one; comments are passed over."""
        while not (line := self.answer.readline()).startswith(b"data: "):
            if not line:
                raise AssertionError("the stream has ended")
        found: dict[str, Any] = json.loads(line[6:])
        return found

    def until(self, event: str) -> dict[str, Any]:
        """The next one of this name."""
        while (found := self.event()).get("event") != event:
            pass
        return found


class TwoInstances(SynchronousTestCase):
    """One member, two aggregator instances, a worker."""

    def setUp(self) -> None:
        """All of it, linked."""
        directory = Path(tempfile.mkdtemp(prefix="gandalf-http-"))
        self.addCleanup(shutil.rmtree, directory)
        self.network = Deployment(members=1, aggregators=2)
        programs: dict[str, Program] = {
            "member": self.network.member(0),
            "aggregator 0": self.network.aggregator(0),
            "aggregator 1": self.network.aggregator(1),
            "worker": self.network.workers(["worker0"], directory),
        }
        for program in programs.values():
            self.addCleanup(program.end)
            program.start()
        self.said = logs(programs)
        until(lambda: all(map(self._linked, (0, 1))), "ready, and the worker linked", 40, self.said)
        self.one, self.other = Client(self.network, 0), Client(self.network, 1)

    def _linked(self, number: int) -> bool:
        return "worker0" in {link["logical_name"] for link in self.network.connections(number)}

    def send(self, **more: Any) -> tuple[int, Any, Any]:
        """A command to the worker."""
        return self.one.ask("POST", "/commands", {"type": "work", "command": "WORK", **more})

    def test_a_command(self) -> None:
        """Its outcome comes back, and the stream sees it pass; the other instance knows its life from the trace."""
        stream = Stream(self.one, "?topic=WORK,nothing.>")
        self.addCleanup(stream.connection.close)
        status, life, _ = self.send(payload={"number": 7})
        self.assertEqual((status, life["state"], life["outcome"]["payload"]["number"]), (200, "SUCCESS", 7), life)
        seen = stream.until("SUCCESS")
        self.assertEqual((seen["reference"], seen["payload"]["number"]), (life["uuid"], 7))
        until(lambda: len(self._recorded(life["uuid"])) >= 3, "recorded", log=self.said)
        told = self.other.ask("GET", f"/commands/{life['uuid']}")[1]
        self.assertEqual((told["state"], told["outcome"]["payload"]), ("SUCCESS", life["outcome"]["payload"]))

    def _recorded(self, uuid: str) -> Any:
        status, life, _ = self.other.ask("GET", f"/commands/{uuid}")
        return life["recorded"] if status == 200 else []

    def test_commands_that_come_to_nothing(self) -> None:
        """Nobody speaks the language: 404, at once. A payload that the worker refuses is its failure, 200. Who does
        not wait looks later."""
        began = time.monotonic()
        status, problem, headers = self.send(type="nobody", timeout=1000)
        self.assertEqual((status, problem["code"]), (404, "NO_ROUTE"), problem)
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(headers["Location"].endswith(problem["uuid"]))
        status, life, _ = self.send(payload={"number": "x"})
        self.assertEqual((status, life["state"]), (200, "FAILURE"))
        status, life, headers = self.send(payload={"number": 1}, wait=0)
        self.assertEqual(status, 202)
        place = headers["Location"].removeprefix("/api/v1")
        until(lambda: self.one.ask("GET", place)[1]["state"] == "SUCCESS", "outcome", log=self.said)

    def test_events_and_resume(self) -> None:
        """What is sent is streamed; who left resumes, at another instance too, and misses nothing."""
        stream = Stream(self.one, "?topic=demo.*")
        ids = [self.emit(number) for number in range(3)]
        self.assertEqual([stream.event()["uuid"] for _ in ids], ids)
        stream.connection.close()
        ids += [self.emit(number) for number in range(3, 6)]
        for client in (self.one, self.other):
            again = Stream(client, "?topic=demo.*", **{"Last-Event-ID": ids[1]})
            self.addCleanup(again.connection.close)
            got: list[str] = []
            while ids[-1] not in got:
                got.append(again.event()["uuid"])
            self.assertLessEqual(set(ids[2:]), set(got))
            self.assertEqual(len(got), len(set(got)))
        unknown = Stream(self.one, **{"Last-Event-ID": "00" * 16})
        self.assertEqual(unknown.answer.status, 404)

    def emit(self, number: int) -> Any:
        """An event of a topic of its own."""
        body = {"topic": "demo.counted", "event": "COUNTED", "payload": {"number": number}}
        status, answer, _ = self.one.ask("POST", "/events", body)
        self.assertEqual(status, 201, answer)
        return answer["uuid"]

    def test_the_trace_in_pages(self) -> None:
        """All that was recorded, the newest first, each once."""
        ids = [self.emit(number) for number in range(5)]
        until(lambda: self._pages("demo.counted") == ids[::-1], "recorded", log=self.said)

    def _pages(self, topic: str) -> list[str]:
        found: list[str] = []
        follows = ""
        while True:
            page = self.other.ask("GET", f"/trace?topic={topic}&limit=2{follows}")[1]
            found += [item["uuid"] for item in page["items"]]
            if page["next"] is None:
                return found
            follows = f"&cursor={page['next']}"

    def test_seeing_and_steering(self) -> None:
        """Each operation on a running instance; a drained one ends its streams and itself, its brother goes on."""
        status = self.one.ask("GET", "/status")[1]
        for path in ("/pending", "/errors", "/config", "/log-level", "/commands"):
            self.assertEqual(self.one.ask("GET", path)[0], 200, path)
        self.assertEqual(self.one.ask("PUT", "/log-level", {"level": "debug"})[1], {"level": "debug"})
        self.assertNotIn(self.network.logins.password[0], json.dumps(self.one.ask("GET", "/config")[1]))
        (worker,) = (link for link in self.network.connections(0) if link["logical_name"] == "worker0")
        self.assertEqual(self.one.ask("DELETE", f"/connections/{worker['session']}")[0], 204)
        self.assertEqual(self.other.ask("POST", "/drain", {"instance": status["instance"]})[0], 409)
        stream = Stream(self.one, "?topic=nothing")
        self.addCleanup(stream.connection.close)
        self.assertEqual(self.one.ask("POST", "/drain", {"instance": status["instance"]})[0], 202)
        self.assertIn("stops", stream.event()["reason"])
        until(lambda: not self.network.ready(0), "drained", log=self.said)
        self.assertTrue(self.network.ready(1))
