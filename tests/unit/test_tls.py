"""TLS for links: files that cannot be used are told; handshakes succeed within one authority only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, optionsForClientTLS
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.tls import Credentials, TLSError, bears, load_credentials, names_of
from gandalf.shoset.tls_transport import over_tls

NOW = datetime(2030, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Recorder(Protocol):
    """Notes what it receives and why it was closed, and what its peer's certificate bears."""

    def __init__(self) -> None:
        self.received = b""
        self.reason: Failure | None = None
        self.borne: dict[str, bool] = {}
        self.pieces: list[int] | None = None
        self.chunks: list[int] = []
        """How many pieces each chunk came in."""

    def gather(self) -> None:
        """Called before what one read brought."""
        self.pieces = []

    def gathered(self) -> None:
        """Called after it."""
        if self.pieces:
            self.chunks.append(len(self.pieces))
        self.pieces = None

    def dataReceived(self, data: bytes) -> None:
        """Called with what the peer sent."""
        assert self.pieces is not None, "it belongs to no read"
        self.pieces.append(len(data))
        self.received += data
        self.borne = {name: bears(self.transport, name) for name in ("aggregator1", "aggregator2")}

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        """Called once, when the connection is closed."""
        self.reason = reason


@attrs.frozen
class Ends:
    """Both ends of a connection after each has tried to send its name to the other."""

    dialler: Recorder
    listener: Recorder
    pump: iosim.IOPump

    @property
    def established(self) -> bool:
        """Whether both got what the other sent."""
        return (self.dialler.received, self.listener.received) == (b"listener", b"dialler")

    def why_not(self) -> str:
        """The errors both ends were closed with."""
        return " ".join(str(end.reason.value) for end in (self.dialler, self.listener) if end.reason)


class One(Factory):
    """Hands out the one protocol it was given."""

    def __init__(self, protocol: Protocol) -> None:
        self.given = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        """Called once, when the connection is made."""
        return self.given


def handshake(client: Any, server: Any) -> Ends:
    """Connect a dialler with creator `client` to a listener with context factory `server`, in memory."""
    dialling, listening = Recorder(), Recorder()
    dialler = over_tls(client, One(dialling), dials=True).buildProtocol(None)
    listener = over_tls(server, One(listening), dials=False).buildProtocol(None)
    pump = iosim.connect(
        listener,
        iosim.FakeTransport(listener, isServer=True),
        dialler,
        iosim.FakeTransport(dialler, isServer=False),
    )
    dialler.write(b"dialler")
    listener.write(b"listener")
    pump.flush()
    return Ends(dialling, listening, pump)


class TLSCase(SynchronousTestCase):
    """With an authority, and PEM files of certificates that it signed."""

    def setUp(self) -> None:
        self.authority = trustme.CA()

    def files(
        self,
        *names: str,
        common_name: str | None = None,
        signed_by: trustme.CA | None = None,
        trusts: trustme.CA | None = None,
        until: datetime = NOW + 365 * DAY,
        since: datetime = NOW - DAY,
    ) -> tuple[Path, Path, Path]:
        """The files ca, certificate and key of a component whose certificate bears `names`."""
        directory = Path(self.mktemp())
        directory.mkdir()
        signer = signed_by or self.authority
        leaf = signer.issue_cert(*names, common_name=common_name, not_before=since, not_after=until)
        (trusts or self.authority).cert_pem.write_to_path(str(directory / "ca.pem"))
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(str(directory / "cert.pem"), append=True)
        leaf.private_key_pem.write_to_path(str(directory / "key.pem"))
        return directory / "ca.pem", directory / "cert.pem", directory / "key.pem"

    def credentials(self, *names: str, now: datetime = NOW, **keys: Any) -> Credentials:
        """The credentials loaded from such files."""
        return load_credentials(*self.files(*names, **keys), now=now)


class Handshakes(TLSCase):
    """Real handshakes, in memory, with certificates valid now."""

    def setUp(self) -> None:
        super().setUp()
        self.now = datetime.now(UTC)

    def credentials(self, *names: str, now: datetime = NOW, **keys: Any) -> Credentials:
        """OpenSSL looks at the machine's clock, so these are valid by that."""
        validity = {"since": self.now - DAY, "until": self.now + 365 * DAY}
        return super().credentials(*names, now=self.now, **{**validity, **keys})

    def test_members_of_one_authority(self) -> None:
        """Two with certificates of one authority understand each other; by host name and by address."""
        server = self.credentials("localhost", "127.0.0.1", "::1", "aggregator1").server()
        client = self.credentials("aggregator2")
        for host in ("localhost", "127.0.0.1", "::1", "aggregator1"):
            self.assertTrue(handshake(client.client(host), server).established, host)

    def test_the_listener_sees_who_dials(self) -> None:
        """The certificate shown bears its names, and no others."""
        server = self.credentials("localhost").server()
        client = self.credentials("aggregator1").client("localhost")
        ends = handshake(client, server)
        self.assertEqual(ends.listener.borne, {"aggregator1": True, "aggregator2": False})
        self.assertEqual(ends.dialler.borne, {"aggregator1": False, "aggregator2": False})

    def test_what_one_read_brings_is_one_piece(self) -> None:
        """However many records of TLS it came in; what is written leaves at once."""
        credentials = self.credentials("localhost")
        ends = handshake(credentials.client("localhost"), credentials.server())
        transport: Any = ends.dialler.transport
        before = list(ends.listener.chunks)
        transport.write(bytes(100_000))
        ends.pump.flush()
        self.assertEqual(len(ends.listener.received), len(b"dialler") + 100_000)
        self.assertEqual(ends.listener.chunks[len(before) :], [7])

    def test_chains(self) -> None:
        """Certificates between ours and the authority are sent along, by both ends."""
        between = self.authority.create_child_ca()
        server = self.credentials("localhost", signed_by=between)
        client = self.credentials("aggregator1", signed_by=between)
        self.assertEqual(len(server.chain), 1)
        self.assertTrue(handshake(client.client("localhost"), server.server()).established)

    def test_another_host(self) -> None:
        """A dialler does not talk to a listener whose certificate does not bear the host dialled."""
        server = self.credentials("localhost", "127.0.0.1").server()
        client = self.credentials("aggregator1")
        for host in ("cluster.example", "127.0.0.2"):
            ends = handshake(client.client(host), server)
            self.assertEqual((ends.established, ends.listener.received), (False, b""))
            self.assertIn("VerificationError", ends.why_not())

    def test_a_listener_of_another_authority(self) -> None:
        """A dialler does not talk to a listener whose certificate another authority signed."""
        stranger = self.credentials("localhost", signed_by=trustme.CA())
        ends = handshake(self.credentials("aggregator1").client("localhost"), stranger.server())
        self.assertEqual((ends.established, ends.listener.received), (False, b""))
        self.assertIn("certificate verify failed", ends.why_not())

    def test_a_dialler_of_another_authority(self) -> None:
        """A listener takes nothing from a dialler whose certificate another authority signed."""
        stranger = self.credentials("aggregator1", signed_by=trustme.CA())
        ends = handshake(stranger.client("localhost"), self.credentials("localhost").server())
        self.assertEqual((ends.established, ends.listener.received), (False, b""))
        self.assertIn("certificate verify failed", ends.why_not())

    def test_a_dialler_without_certificate(self) -> None:
        """A listener takes nothing from a dialler that shows no certificate."""
        server = self.credentials("localhost")
        (authority,) = server.authorities
        ends = handshake(optionsForClientTLS("localhost", trustRoot=authority), server.server())
        self.assertEqual((ends.established, ends.listener.received), (False, b""))
        self.assertIn("peer did not return a certificate", ends.why_not())

    def test_old_versions(self) -> None:
        """TLS 1.1 is refused; TLS 1.2 is spoken."""
        server = self.credentials("localhost", "aggregator1")
        for version, spoken in ((TLSVersion.TLSv1_1, False), (TLSVersion.TLSv1_2, True)):
            client = CertificateOptions(
                privateKey=server.certificate.privateKey.original,
                certificate=server.certificate.original,
                insecurelyLowerMinimumTo=TLSVersion.TLSv1_1,
                lowerMaximumSecurityTo=version,
            )
            context = client.getContext()
            # Without this OpenSSL itself offers nothing as old as that.
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
            ends = handshake(client, server.server())
            self.assertEqual(ends.established, spoken, version)
        self.assertTrue(server.server().getContext().set_options(0) & SSL.OP_NO_TLSv1_1)


class Loading(TLSCase):
    """Files that can and cannot be used."""

    def refused(self, *files: Path, now: datetime = NOW) -> str:
        """Why `files` are refused."""
        return str(self.assertRaises(TLSError, load_credentials, *files, now))

    def test_expires(self) -> None:
        """The credentials know when the first of their certificates expires."""
        self.assertEqual(self.credentials("a", until=NOW + 90 * DAY).expires, NOW + 90 * DAY)

    def test_files_that_are_not_there(self) -> None:
        """A file that cannot be read is named, and why."""
        files = self.files("a")
        for number in range(3):
            changed = [*files]
            changed[number] = Path("/no/such.pem")
            self.assertEqual(self.refused(*changed), "/no/such.pem: cannot be read: No such file or directory")

    def test_files_that_are_something_else(self) -> None:
        """A file with something else in it is named; what is in it is not shown."""
        files = self.files("a")
        other = Path(self.mktemp())
        for content in (b"", b"secret", b"-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"):
            other.write_bytes(content)
            for number, what in enumerate(("certificates", "certificates", "private key")):
                changed = [*files]
                changed[number] = other
                self.assertEqual(self.refused(*changed), f"{other}: no PEM {what} in this file")

    def test_key_and_certificate_swapped(self) -> None:
        """Key and certificate in each other's place are told."""
        ca, certificate, key = self.files("a")
        self.assertEqual(self.refused(ca, key, certificate), f"{key}: no PEM certificates in this file")

    def test_key_of_another_certificate(self) -> None:
        """A key that does not belong to the certificate is told, with both files."""
        ca, certificate, _ = self.files("a")
        _, _, key = self.files("b")
        self.assertEqual(
            self.refused(ca, certificate, key), f"{key}: not the private key of the certificate in {certificate}"
        )

    def test_encrypted_key(self) -> None:
        """A key with a passphrase is told, and nobody is asked for it."""
        ca, certificate, key = self.files("a")
        plain = load_pem_private_key(key.read_bytes(), None)
        encryption = BestAvailableEncryption(b"passphrase")
        key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        self.assertEqual(
            self.refused(ca, certificate, key),
            f"{key}: the key is encrypted; a key without a passphrase is needed",
        )

    def test_expired(self) -> None:
        """A certificate that is not valid any more, or not yet, is told with the time."""
        files = self.files("a", until=NOW)
        self.assertEqual(self.refused(*files), f"{files[1]}: expired at 2030-06-01T00:00:00+00:00")
        files = self.files("a", since=NOW + DAY)
        self.assertEqual(self.refused(*files), f"{files[1]}: not valid before 2030-06-02T00:00:00+00:00")
        files = self.files("a")
        self.assertIn(f"{files[0]}: expired at", self.refused(*files, now=NOW + 3650 * 365 * DAY))

    def test_near_expiry(self) -> None:
        """A certificate that expires within 30 days is logged as a warning; one that does later is not."""
        files = self.files("a", until=NOW + 40 * DAY)
        for now, warned in ((NOW, 0), (NOW + 10 * DAY, 0), (NOW + 11 * DAY, 1)):
            events = self.warnings_of(files, now)
            self.assertEqual(len(events), warned)
        self.assertEqual((events[0]["path"], events[0]["expires"]), (str(files[1]), "2030-07-11T00:00:00+00:00"))

    def warnings_of(self, files: tuple[Path, Path, Path], now: datetime) -> list[LogEvent]:
        """The warnings logged when `files` are loaded at `now`."""
        with capturedLogs() as events:
            load_credentials(*files, now=now)
        return [event for event in events if event["log_level"] is LogLevel.warn]


class Names(TLSCase):
    """Which logical names a certificate bears."""

    def test_names(self) -> None:
        """dNSNames and the common name, as they are written; not addresses, nor anything else."""
        certificate = self.credentials("a", "Git.example", "127.0.0.1", common_name="aggregator_1").certificate
        expected = frozenset({"a", "git.example", "aggregator_1"})
        self.assertEqual(names_of(certificate), expected)
        self.assertEqual(names_of(certificate.original), expected)

    def selfsigned(self, common_name: str, *extensions: x509.ExtensionType) -> Certificate:
        """A certificate with no more than that in it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + DAY)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return Certificate(X509.from_cryptography(builder.sign(key, SHA256())))

    def test_common_name_only(self) -> None:
        """A certificate without alternative names bears its common name."""
        self.assertEqual(names_of(self.selfsigned("aggregator1")), frozenset({"aggregator1"}))

    def test_uri(self) -> None:
        """A URI among the alternative names is no name."""
        uri = x509.UniformResourceIdentifier("spiffe://example/aggregator2")
        certificate = self.selfsigned("aggregator1", x509.SubjectAlternativeName([uri]))
        self.assertEqual(names_of(certificate), frozenset({"aggregator1"}))

    def test_unreadable_names(self) -> None:
        """A certificate whose alternative names cannot be read bears none at all."""
        nonsense = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"nonsense")
        self.assertEqual(names_of(self.selfsigned("aggregator1", nonsense)), frozenset())

    def test_no_wildcards(self) -> None:
        """A wildcard is no name of what it would match."""
        names = names_of(self.credentials("*.example.org").certificate)
        self.assertEqual(names, frozenset({"*.example.org"}))

    def test_plain_transport(self) -> None:
        """On a transport without TLS no name is borne."""
        self.assertFalse(bears(StringTransport(), ""))
