"""Templates: found, filled, refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector.workflow.templates import TemplateError, fill, templates

SCOPE: dict[str, object] = {
    "input": {"name": "demo", "size": 3, "big": True, "none": None, "list": ["a", {"b": 1}], "dash-ed": 1.5},
}


class TemplateTests(SynchronousTestCase):
    """`fill` and `templates`."""

    def test_whole_value_keeps_its_type(self) -> None:
        """A value that is one template becomes what it finds, whatever that is."""
        for template, value in (
            ("${input.name}", "demo"),
            ("${input.size}", 3),
            ("${input.big}", True),
            ("${input.none}", None),
            ("${input.list}", ["a", {"b": 1}]),
            ("${input.list.1.b}", 1),
            ("${input.dash-ed}", 1.5),
        ):
            self.assertEqual(fill(template, SCOPE, "p"), value)

    def test_template_within_a_text(self) -> None:
        """Texts, numbers and booleans are written into the text around them; `$${` is a plain `${`."""
        self.assertEqual(
            fill("<${input.name}/${input.size}/${input.big}> $${input.name}", SCOPE, "p"),
            "<demo/3/true> ${input.name}",
        )
        self.assertEqual(fill("$${x}", SCOPE, "p"), "${x}")

    def test_nested_values_are_filled(self) -> None:
        """Objects and lists are filled throughout; keys and other values stay."""
        self.assertEqual(
            fill({"${input.name}": ["${input.size}", 1, {"x": "${input.name}"}]}, SCOPE, "p"),
            {"${input.name}": [3, 1, {"x": "demo"}]},
        )

    def test_what_finds_nothing_is_told(self) -> None:
        """A path that leads nowhere is named with its place and the word that is missing."""
        for template, said in (
            ("${input.other}", "p.x: ${input.other} finds nothing: there is no 'other' in input"),
            ("${input.name.x}", "p.x: ${input.name.x} finds nothing: there is no 'x' in input.name"),
            ("${input.list.2}", "p.x: ${input.list.2} finds nothing: there is no '2' in input.list"),
            ("${input.list.-1}", "p.x: ${input.list.-1} finds nothing: there is no '-1' in input.list"),
            ("${other}", "p.x: ${other} finds nothing: there is no 'other'"),
            ("a ${input.list}", "p.x: ${input.list} is a list: in the middle of a text"),
            ("a ${input}", "p.x: ${input} is an object: in the middle of a text"),
            ("a ${input.none}", "p.x: ${input.none} is null: in the middle of a text"),
        ):
            with self.subTest(template=template):
                with self.assertRaises(TemplateError) as caught:
                    fill({"x": template}, SCOPE, "p")
                self.assertTrue(str(caught.exception).startswith(said), caught.exception)

    def test_found_value_is_not_filled_again(self) -> None:
        """What a template finds is data: a template in it is not followed."""
        scope = {"input": {"a": "${input.b}", "b": "secret"}}
        self.assertEqual(fill("${input.a}", scope, "p"), "${input.b}")
        self.assertEqual(fill("<${input.a}>", scope, "p"), "<${input.b}>")

    @given(st.text(alphabet="${}.a1 -", max_size=20))
    def test_what_is_accepted_finds_or_is_told(self, text: str) -> None:
        """A text whose templates are accepted is filled, or fails with a TemplateError, and never
        otherwise."""
        try:
            found = list(templates(text, "p"))
        except TemplateError:
            return
        try:
            filled = fill(text, {"a": "x"}, "p")
        except TemplateError:
            self.assertTrue(found)
        else:
            self.assertTrue(found or filled == text.replace("$${", "${"))
