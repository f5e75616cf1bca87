"""Workflow files: what is accepted, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import gandalf
from gandalf.connector.workflow import program
from gandalf.connector.workflow.files import MAX_BYTES, WorkflowErrors, load

EXAMPLE = """\
name: demo
on: {topic: project.requested, event: REQUESTED}
steps:
  - id: create
    send: {type: vcs, command: CREATE_REPOSITORY, payload: {name: "${event.payload.name}"}, timeout: 2.5}
  - emit: {topic: project.ready, event: READY, payload: {url: "${steps.create.payload.url}", at: 2026-01-02}}
"""


class FileCase(SynchronousTestCase):
    """A directory for workflow files."""

    def setUp(self) -> None:
        """An empty directory."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.directory / name).write_text(text)

    def errors(self) -> list[str]:
        """What is wrong with the files, a line each: the file's name, place, value, rule."""
        with self.assertRaises(WorkflowErrors) as caught:
            load(self.directory)
        return [f"{path.name}: {problem}" for path, problem in caught.exception.problems]


class LoadTests(FileCase):
    """`load`: a directory of files."""

    def test_files_are_read(self) -> None:
        """`.yaml` and `.yml` files become workflows under their names; other files do not matter."""
        self.write("a.yaml", EXAMPLE)
        self.write("b.yml", EXAMPLE.replace("demo", "other"))
        self.write("notes.txt", "{")
        workflows = load(self.directory)
        self.assertEqual(sorted(workflows), ["demo", "other"])
        demo = workflows["demo"]
        assert demo.on is not None
        self.assertEqual((demo.on.topic, demo.on.event), ("project.requested", "REQUESTED"))
        send = demo.steps[0].send
        assert send is not None
        self.assertEqual((send.type, send.command, send.timeout), ("vcs", "CREATE_REPOSITORY", 2.5))

    def test_plain_values_have_the_types_of_json(self) -> None:
        """Only JSON's own words and numbers are not texts: no `yes`, no octal, no minutes, no dates."""
        values = {
            "on": "on", "yes": "yes", "True": "True", "true": True, "null": None, "~": None, "010": "010",
            "1:30": "1:30", "2026-01-02": "2026-01-02", "12": 12, "-1.5e3": -1500.0, "1_000": "1_000", "0x1f": "0x1f",
        }  # fmt: skip
        payload = ", ".join(values)
        self.write("a.yaml", EXAMPLE.replace('name: "${event.payload.name}"', f"v: [{payload}]"))
        send = load(self.directory)["demo"].steps[0].send
        assert send is not None
        self.assertEqual(send.payload, {"v": list(values.values())})

    def test_all_errors_of_all_files_are_told(self) -> None:
        """Each problem is named with file, place, value and what is allowed."""
        self.write("a.yaml", EXAMPLE.replace("timeout: 2.5", "timeout: soon").replace("id: create", "id: 1st"))
        self.write("b.yaml", "name: b\nsteps: []\n")
        first, second, third = self.errors()
        self.assertTrue(first.startswith('a.yaml: steps[0].id is "1st": must be 1 to 64 letters'), first)
        self.assertTrue(second.startswith('a.yaml: steps[0].send.timeout is "soon": must be a valid number'), second)
        self.assertTrue(third.startswith("b.yaml: steps: list should have at least 1 item"), third)

    def test_duplicate_names_are_told_with_both_files(self) -> None:
        """Two files with one name: the second is wrong, the first is named."""
        self.write("a.yaml", EXAMPLE)
        self.write("b.yaml", EXAMPLE)
        self.assertEqual(self.errors(), ['b.yaml: name is "demo": must be unique; a.yaml has it too'])

    def test_what_is_no_yaml_is_told_with_its_line(self) -> None:
        """Broken YAML, a key twice, keys that are no text, aliases: named with line and column."""
        for text, said in (
            ("name: [", "a.yaml: line 1, column 8: must be YAML: "),
            ("name: a\nname: b\n", "a.yaml: line 2, column 1: must be YAML: key 'name' stands here twice"),
            ("1: a\n", "a.yaml: line 1, column 1: must be YAML: key '1' must be a text"),
            ("? [a]\n: b\n", "a.yaml: line 1, column 3: must be YAML: key "),
            ("a: &x 1\nb: *x\n", "a.yaml: line 2, column 4: must be YAML: aliases are not allowed"),
            ("a: !!python/name:os.system x", "a.yaml: line 1, column 4: must be YAML: "),
            ("a: \x07", "a.yaml: the file: must be YAML in UTF-8: "),
            ("a: !!binary aGk=", "a.yaml: the file: must hold what JSON can say"),
            ("- a\n", "a.yaml: the file: must be a mapping with name and steps"),
            ("", "a.yaml: the file: must be a mapping with name and steps"),
            ("[" * 10_000, "a.yaml: "),
            ("#" * (MAX_BYTES + 1), f"a.yaml: the file: must be no longer than {MAX_BYTES} bytes"),
        ):
            with self.subTest(text=text[:30]):
                self.write("a.yaml", text)
                [error] = self.errors()
                self.assertTrue(error.startswith(said), error)

    def test_unreadable_directory_names_its_key(self) -> None:
        """A directory that is not there is an error of the setting."""
        with self.assertRaisesRegex(ValueError, "options.directory is '.*nowhere': cannot be read"):
            program({"directory": str(self.directory / "nowhere")})

    def test_the_shipped_example_is_valid(self) -> None:
        """conf/workflows is in order, and its workflow is the one that the project's first page promises."""
        conf = Path(gandalf.__file__).parent.parent / "conf" / "workflows"
        workflow = load(conf)["project"]
        assert workflow.on is not None
        self.assertEqual(workflow.on.topic, "project.requested")
        self.assertFalse(workflow.needs_event)


class RuleTests(FileCase):
    """What is allowed within a file."""

    def problems(self, old: str, new: str) -> list[str]:
        """What is wrong with the example when `old` in it is `new`."""
        self.assertIn(old, EXAMPLE)
        self.write("a.yaml", EXAMPLE.replace(old, new))
        return [error.removeprefix("a.yaml: ") for error in self.errors()]

    def test_each_rule(self) -> None:
        """Unknown keys, steps of no or two kinds, bad topics and templates: each is told at its place."""
        for old, new, said in (
            ("name: demo", "name: de mo", 'name is "de mo": must be 1 to 64'),
            ("name: demo", "title: demo", "name: is required"),
            ("event: REQUESTED", "evnt: X", "on.evnt: unknown; known here: event, topic"),
            ("topic: project.requested", "topic: a..b", 'on.topic is "a..b": topic'),
            ("type: vcs", "kind: vcs", "steps[0].send.type: is required"),
            ("type: vcs", 'type: ""', 'steps[0].send.type is "": must be a text that is not empty'),
            ("type: vcs", 'type: "${input.x}"', "without templates"),
            ("timeout: 2.5", "timeout: 0", "steps[0].send.timeout is 0: "),
            ("  - emit: {", "  - send: {type: a, command: b}\n    emit: {", "steps[1]: must have one of send, emit"),
            ("send: {", "call: {", "steps[0].call: unknown; known here: emit, id, send"),
            ("  - emit:", "  - id: create\n    emit:", 'steps[1].id is "create": must be different'),
            ("${event.payload.name}", "${event.name}", "event. must be followed by one of uuid, topic"),
            ("${event.payload.name}", "${event}", "event. must be followed by"),
            ("${event.payload.name}", "${env.HOME}", "must begin with input, event or steps"),
            ("${event.payload.name}", "${__import__('os')}", "a template must be ${word.word...}"),
            ("${event.payload.name}", "x ${input.name", "a template must be ${word.word...}"),
            ("${event.payload.name}", "${}", "a template must be ${word.word...}"),
            ("${event.payload.name}", "${steps.create.payload.x}", "an earlier step that sends; here: none"),
            ("steps.create.payload", "steps.other.payload", "an earlier step that sends; here: create"),
            ("steps.create.payload", "steps.create.outcome", "steps.create. must be followed by payload"),
            ("steps.create.payload.url", "steps", "an earlier step that sends; here: create"),
            (
                "topic: project.ready, event: READY",
                "topic: project.requested, event: REQUESTED",
                "must not be what starts this same workflow",
            ),
        ):
            with self.subTest(new=new):
                problems = self.problems(old, new)
                self.assertTrue(any(said in problem for problem in problems), problems)

    def test_template_is_named_with_place_and_value(self) -> None:
        """A template that leads nowhere is shown, with its exact place in the payload."""
        self.assertEqual(
            self.problems("${event.payload.name}", "${a}"),
            ['steps[0].send.payload.name is "${a}": must begin with input, event or steps'],
        )

    def test_event_templates_need_a_trigger(self) -> None:
        """A workflow that nothing but a command starts cannot speak of the event."""
        [problem] = self.problems("on: {topic: project.requested, event: REQUESTED}\n", "")
        self.assertIn("needs an 'on'", problem)

    def test_emitted_event_of_another_kind_is_no_loop(self) -> None:
        """The topic that starts the workflow may be emitted with another event."""
        self.write("a.yaml", EXAMPLE.replace("project.ready, event", "project.requested, event"))
        self.assertEqual(list(load(self.directory)), ["demo"])
