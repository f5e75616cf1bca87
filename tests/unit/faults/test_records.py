"""What load programs write down, and what else they compute."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.faults import cast
from tests.faults.history import ACKED, History, Sent, Stream
from tests.faults.network import players
from tests.faults.pace import Pace
from tests.faults.records import Kind, Record, Recorder, code_number, last, read
from tests.faults.recovery import WITHIN, Recovery, percentile, recoveries


class RecordTests(SynchronousTestCase):
    """A file of records."""

    def setUp(self) -> None:
        """Three of them."""
        self.path = Path(self.mktemp())
        recorder = Recorder(self.path)
        recorder.write(Kind.SEND, 65537, stream=2, number=0)
        recorder.write(Kind.ACKED, 65537, stream=2, number=0)
        recorder.write(Kind.ENDED, 65537, number=4_000_000_000, link=code_number("NO_ROUTE"))

    def test_read(self) -> None:
        """What was written."""
        records = list(read(self.path))
        self.assertEqual([record.kind for record in records], [Kind.SEND, Kind.ACKED, Kind.ENDED])
        self.assertEqual((records[0].who, records[0].stream), (65537, 2))
        self.assertEqual(records[2].number, 4_000_000_000)
        self.assertEqual(last(self.path, 2), records[1:])

    def test_half_a_record(self) -> None:
        """It is left out."""
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[:-1])
        self.assertEqual(len(list(read(self.path))), 2)

    def test_history(self) -> None:
        """Records become what happened; a number out of turn is a fault of the laboratory."""
        history = History()
        history.add(list(read(self.path))[:2])
        self.assertEqual(history.streams[65537, 2].state, bytes([ACKED]))
        history.add([Record(1.0, Kind.SEND, 2, 0, 65537, 0, 5)])
        self.assertEqual(len(history.faults), 1)


class CastTests(SynchronousTestCase):
    """Who is to get what."""

    def test_due(self) -> None:
        """By stream, tenant and topic."""
        who = cast.Cast(players(), 1.0, 1.0, {})
        north, south = [[one.index for one in who.players if one.tenant == tenant] for tenant in ("north", "south")]
        self.assertEqual([one for one in range(13) if who.due(0, cast.ALL, 0, one)], north[1:])
        self.assertEqual([one for one in range(13) if who.due(1, cast.SOME, 0, one)], north[::2])
        self.assertEqual([one for one in range(13) if who.due(0, cast.AIMED, 3, one)], [north[4]])
        self.assertEqual([one for one in range(13) if who.due(south[0], cast.ALL, 0, one)], south[1:])

    def test_keys(self) -> None:
        """An event's name tells its place in the history."""
        self.assertEqual(cast.read_key(cast.key(65537, 3, 12)), (65537, 3, 12))
        for other in ("", "TAKEN", "1.2", "1.2.x"):
            self.assertIsNone(cast.read_key(other))

    def test_saved(self) -> None:
        """For the load programs."""
        path = Path(self.mktemp())
        who = cast.Cast(players(), 1.0, 2.0, {"north": ("127.0.0.1:1",)})
        who.save(path)
        self.assertEqual(cast.Cast.load(path), who)

    def test_pace(self) -> None:
        """So many a second; what a stopped process missed is not made up for."""
        pace = Pace(10.0, 0.0)
        self.assertEqual([pace.due(0.05), pace.due(0.15), pace.due(0.2), pace.due(60.0)], [0, 1, 1, 5])


class RecoveryTests(SynchronousTestCase):
    """How soon commands succeeded again."""

    def test_recoveries(self) -> None:
        """Of what was sent after the loss, at the first sender and at the last; not what others sent."""
        who = cast.Cast(players(), 1.0, 1.0, {})
        south = [player for player in who.players if player.tenant == "south"]
        success, timeout = code_number("SUCCESS"), code_number("TIMEOUT")
        history = History(
            commands={
                who.players[0].who(1): {
                    0: Sent(9.0, 10.5, 1, success),
                    1: Sent(10.1, 10.4, 1, timeout),
                    2: Sent(10.2, 10.6, 1, success),
                },
                who.players[1].who(1): {0: Sent(9.0, 9.1, 1, success), 1: Sent(10.3, 11.0, 1, success)},
                who.players[1].who(2): {0: Sent(10.0, 10.01, 1, success)},
                south[0].who(1): {0: Sent(9.0, 9.1, 1, success), 1: Sent(10.0, 10.01, 1, success)},
            },
            streams={(1, 0): Stream()},
        )
        (found,) = recoveries(history, who, [("a1", 10.0, "north")])
        self.assertEqual(found, Recovery("a1", 10.0, 10.6 - 10.0, 1.0))

    def test_no_recovery(self) -> None:
        """A sender that went on in vain for longer than is looked at is the slowest, and not left out; one that ended
        soon after the loss says nothing."""
        who = cast.Cast(players(), 1.0, 1.0, {})
        success, timeout = code_number("SUCCESS"), code_number("TIMEOUT")
        vain = {number: Sent(9.0 + number, 9.5 + number, 1, timeout) for number in range(100)}
        history = History(
            commands={
                who.players[0].who(1): vain,
                who.players[1].who(1): {0: Sent(9.0, 9.1, 1, success), 1: Sent(10.3, 11.0, 1, timeout)},
            },
        )
        lost = [("a1", 10.0, "north")]
        self.assertEqual(recoveries(history, who, lost), [Recovery("a1", 10.0, WITHIN, WITHIN)])
        history.commands[who.players[1].who(1)][2] = Sent(10.4, 11.0, 1, success)
        self.assertEqual(recoveries(history, who, lost), [Recovery("a1", 10.0, 1.0, WITHIN)])

    def test_percentile(self) -> None:
        """Of many, of few, of none."""
        self.assertEqual(percentile(list(range(100)), 99), 99)
        self.assertEqual(percentile([3.0], 50), 3.0)
        self.assertEqual(percentile([], 50), 0.0)
