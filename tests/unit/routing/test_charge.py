"""When a received frame counts (protocol.md 5.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import SETTLED, Charge


class Charges(SynchronousTestCase):
    """Promises."""

    def test_settled_once(self) -> None:
        """Whoever waits is called once, in order, whoever comes later at once."""
        charge = Charge()
        calls: list[int] = []
        for number in range(3):
            charge.then(lambda number=number: calls.append(number))  # type: ignore[misc]
        self.assertEqual((charge.settled, calls), (False, []))
        charge.settle()
        charge.settle()
        self.assertEqual((charge.settled, calls), (True, [0, 1, 2]))
        charge.then(lambda: calls.append(3))
        self.assertEqual(calls, [0, 1, 2, 3])

    def test_settled_while_it_is_settled(self) -> None:
        """Who is called may look at it, wait for it and settle it again."""
        charge = Charge()
        calls: list[bool] = []
        charge.then(charge.settle)
        charge.then(lambda: charge.then(lambda: calls.append(charge.settled)))
        charge.settle()
        self.assertEqual(calls, [True])

    def test_settled_from_the_beginning(self) -> None:
        """The charge of what is safe already."""
        calls: list[int] = []
        SETTLED.then(lambda: calls.append(1))
        self.assertEqual((SETTLED.settled, calls), (True, [1]))
