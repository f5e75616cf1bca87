"""What is remembered of the past, and how much: uuids (protocol.md 6.5), askers (6.4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.recent import RecentMap
from tests.unit.wire.support import EXAMPLES

sizes = st.integers(1, 8)
keys = st.integers(0, 24).map(lambda number: number.to_bytes(16, "big"))


class Window(SynchronousTestCase):
    """The duplicate window."""

    def test_seen_before(self) -> None:
        """The first time is no duplicate, each further time is."""
        window = DuplicateWindow(3)
        self.assertEqual(
            [window.seen(uuid) for uuid in (b"a", b"b", b"a", b"a", b"b")], [False, False, True, True, True]
        )
        self.assertIn(b"a", window)
        self.assertNotIn(b"c", window)

    def test_forgets(self) -> None:
        """What was seen twice the size ago is as new."""
        window = DuplicateWindow(3)
        for uuid in (b"a", b"b", b"c", b"d", b"e", b"f"):
            window.seen(uuid)
        self.assertFalse(window.seen(b"a"))

    @EXAMPLES
    @given(sizes, st.lists(keys, max_size=100))
    def test_against_a_model(self, size: int, uuids: list[bytes]) -> None:
        """At least the ``size`` uuids seen latest are known, nothing that was never seen is, memory is bounded."""
        window = DuplicateWindow(size)
        history: list[bytes] = []
        for uuid in uuids:
            latest = list(dict.fromkeys(reversed(history)))[:size]
            known = uuid in window
            self.assertEqual(window.seen(uuid), known)
            if uuid in latest:
                self.assertTrue(known)
            if uuid not in history:
                self.assertFalse(known)
            self.assertIn(uuid, window)
            history.append(uuid)
            self.assertLessEqual(len(window), 2 * size)


class Recent(SynchronousTestCase):
    """The map of askers."""

    @EXAMPLES
    @given(sizes, st.lists(st.tuples(st.sampled_from(["put", "get", "pop"]), keys, st.integers()), max_size=100))
    def test_against_a_model(self, size: int, steps: list[tuple[str, bytes, int]]) -> None:
        """At least the ``size`` put latest are found, with their latest value; what was taken is gone."""
        recent: RecentMap[int] = RecentMap(size)
        model: dict[bytes, int] = {}
        for step, key, value in steps:
            latest = list(model)[-size:]
            if step == "put":
                recent.put(key, value)
                model.pop(key, None)
                model[key] = value
            else:
                found = recent.get(key) if step == "get" else recent.pop(key)
                if key in latest:
                    self.assertEqual(found, model[key])
                self.assertIn(found, (None, model.get(key)))
                if step == "pop":
                    model.pop(key, None)
                    self.assertIsNone(recent.get(key))
            self.assertLessEqual(len(recent), 2 * size)
