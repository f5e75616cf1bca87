"""How values are shown."""

from __future__ import annotations

import io
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cli.output import at, compact, printable, table


class Output(SynchronousTestCase):
    """Texts, times, tables."""

    def test_times(self) -> None:
        """RFC 3339 with milliseconds; nothing for none; the number where there is no such date."""
        self.assertEqual(at(1_700_000_000_123), "2023-11-14T22:13:20.123Z")
        self.assertEqual(at(None), "")
        self.assertEqual(at(2**64 - 1), str(2**64 - 1))

    @given(st.text())
    def test_nothing_controls_the_terminal(self, text: str) -> None:
        """Whatever a peer sends is shown in characters that can be printed."""
        self.assertTrue(printable(text).isprintable())
        if text.isprintable():
            self.assertEqual(printable(text), text)

    def test_what_cannot_be_printed(self) -> None:
        """It is shown by its code."""
        self.assertEqual(printable("a\x1b[31m\u2028é\U000e0001"), "a\\x1b[31m\\u2028é\\ue0001")

    def test_json(self) -> None:
        """In one line, in the letters it was written in; nothing for none."""
        self.assertEqual(compact({"a": "é\n"}), '{"a": "é\\n"}')
        self.assertEqual(compact(None), "")

    def test_a_table_in_a_file(self) -> None:
        """Where there is no terminal no cell is cut or wrapped, and nothing in it is taken for markup."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        table(("name", "text"), [("a", "x" * 500), ("b", "[red]y[/red]"), ("c", None)])
        lines = output.getvalue().splitlines()
        self.assertEqual(
            [line.split() for line in lines], [["name", "text"], ["a", "x" * 500], ["b", "[red]y[/red]"], ["c"]]
        )
