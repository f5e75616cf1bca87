"""`gandalf definitions check`"""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.support import CommandCase

CONF = Path(__file__).parents[3] / "conf"


class Definitions(CommandCase):
    """`gandalf definitions check`"""

    def write(self, name: str, text: str) -> Path:
        """A file."""
        path = self.directory / "files" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def test_the_files_of_this_project(self) -> None:
        """They are in order, definitions and workflows alike."""
        result = self.run_command("definitions", "check", str(CONF / "definitions"), str(CONF / "workflows"))
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("vcs.yaml: in order", result.output)
        self.assertIn("project.yaml: in order", result.output)

    def test_what_is_wrong(self) -> None:
        """Each file's place, value and rule; the others are told to be in order; status 1."""
        good = self.write("good.toml", '[[pivots]]\nname = "a"\nmajor = 1\n')
        bad = self.write("bad.yaml", "pivots:\n  - name: a\n    major: x\n")
        workflow = self.write("workflow.yml", "name: a\nsteps: []\n")
        broken = self.write("broken.yaml", "a: [")
        result = self.run_command("definitions", "check", str(good.parent))
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"{good}: in order", result.output)
        for said in (f"{bad}: pivots.0.major", f"{workflow}: steps", f"{broken}: "):
            self.assertIn(said, result.output)

    def test_a_file_that_cannot_be_read(self) -> None:
        """The system's reason."""
        path = self.directory / "x.yaml"
        path.symlink_to(path.name)
        result = self.run_command("definitions", "check", str(self.directory))
        self.assertEqual(result.exit_code, 1)
        self.assertIn("x.yaml", result.output)

    def test_no_file(self) -> None:
        """At least one must be named, and be there."""
        self.assert_usage(self.run_command("definitions", "check"), "FILE")
        self.assert_usage(self.run_command("definitions", "check", "nowhere.yaml"), "nowhere.yaml")
