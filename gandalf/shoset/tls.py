"""
TLS for links: both ends show a certificate signed by the one authority of [tls] `ca`, TLS 1.2 or later.

The dialler checks that the listener's certificate bears the host it dialled; the listener that the
dialler's bears its logical name (`bears`), or refuses it with NOT_AUTHORISED (protocol.md 5.1). A
certificate therefore has the host names or addresses it is dialled by, and the logical name, as subject
alternative names (the logical name as a dNSName), or the logical name as common name; one with extended key
usages needs clientAuth to dial and serverAuth to listen.

A listener refuses a dialler's certificate by ending the connection; in TLS 1.3 the dialler learns it after
its own handshake is through, as the loss of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.logger import Logger

NEAR_EXPIRY = timedelta(days=30)

_log = Logger()
_Read = TypeVar("_Read")


class TLSError(ValueError):
    """A file of [tls] that cannot be used; the text names it and says why."""


@attrs.frozen
class Credentials:
    """
    What a shoset proves itself with and checks its peers against. `chain` is what stands between
    `certificate` and the authority; `expires` (UTC) is when the first of the certificates in use does.
    """

    authorities: tuple[Certificate, ...]
    certificate: PrivateCertificate
    chain: tuple[crypto.X509, ...]
    expires: datetime

    def server(self) -> CertificateOptions:
        """The context factory of a listener: a dialler must show a certificate signed by the authority."""
        return CertificateOptions(
            privateKey=self.certificate.privateKey.original,
            certificate=self.certificate.original,
            extraCertChain=list(self.chain),
            trustRoot=trustRootFromCertificates(self.authorities),
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )

    def client(self, host: str) -> IOpenSSLClientConnectionCreator:
        """
        The connection creator of a dialler to `host`, a host name or an IP address, which the listener's
        certificate must bear; it must be signed by the authority. No other authority is trusted.
        """
        return optionsForClientTLS(
            host,
            trustRoot=trustRootFromCertificates(self.authorities),
            clientCertificate=self.certificate,
            extraCertificateOptions={
                "extraCertChain": list(self.chain),
                "raiseMinimumTo": TLSVersion.TLSv1_2,
            },
        )


def load_credentials(ca: Path, certificate: Path, key: Path, now: datetime) -> Credentials:
    """
    Read the PEM files: `ca` one or more authorities, `certificate` ours and then those between it and the
    authority, `key` its private key, not encrypted. `now` is the time, with its zone. A certificate that
    expires within 30 days is logged as a warning.

    @raise TLSError: naming the file, when one cannot be read, is not what it should be, is not valid now, or
        when key and certificate do not belong together.
    """
    authorities = _read(ca, x509.load_pem_x509_certificates, "no PEM certificates")
    ours, *between = _read(certificate, x509.load_pem_x509_certificates, "no PEM certificates")
    private = _read(key, lambda pem: load_pem_private_key(pem, None), "no PEM private key")
    expires = min(_expiry(ca, authorities, now), _expiry(certificate, [ours, *between], now))
    pair = KeyPair(crypto.PKey.from_cryptography_key(private))  # type: ignore[arg-type]
    leaf = crypto.X509.from_cryptography(ours)
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.use_certificate(leaf)
        context.use_privatekey(pair.original)
        context.check_privatekey()
    except SSL.Error:
        raise TLSError(f"{key}: not the private key of the certificate in {certificate}") from None
    return Credentials(
        tuple(Certificate(crypto.X509.from_cryptography(authority)) for authority in authorities),
        PrivateCertificate.fromCertificateAndKeyPair(Certificate(leaf), pair),
        tuple(crypto.X509.from_cryptography(each) for each in between),
        expires,
    )


def _read(path: Path, parse: Callable[[bytes], _Read], otherwise: str) -> _Read:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise TLSError(f"{path}: cannot be read: {error.strerror}") from None
    except TypeError:
        # What the cryptography library raises for a key that needs a passphrase, and for nothing else here.
        raise TLSError(f"{path}: the key is encrypted; a key without a passphrase is needed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TLSError(f"{path}: {otherwise} in this file") from None


def _expiry(path: Path, certificates: Sequence[x509.Certificate], now: datetime) -> datetime:
    for certificate in certificates:
        if now < certificate.not_valid_before_utc:
            raise TLSError(f"{path}: not valid before {certificate.not_valid_before_utc.isoformat()}")
        if now >= certificate.not_valid_after_utc:
            raise TLSError(f"{path}: expired at {certificate.not_valid_after_utc.isoformat()}")
    first = min(certificate.not_valid_after_utc for certificate in certificates)
    if first - now < NEAR_EXPIRY:
        _log.warn("{path} expires at {expires}", path=str(path), expires=first.isoformat())
    return first


def names_of(certificate: crypto.X509 | Certificate) -> frozenset[str]:
    """
    The logical names that `certificate` bears: its dNSNames and common names, letter for letter (no
    wildcards). URIs and addresses among its alternative names are not names. Empty when they cannot be
    read.
    """
    original = certificate.original if isinstance(certificate, Certificate) else certificate
    readable = original.to_cryptography()
    try:
        common = readable.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = {str(attribute.value) for attribute in common}
        alternatives = readable.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names.update(alternatives.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        return frozenset(names)
    except ValueError:
        return frozenset()
    return frozenset(names)


def bears(transport: object, logical_name: str) -> bool:
    """
    Whether the peer on `transport` showed a certificate that bears `logical_name`. False when it showed none,
    as on plain TCP: a listener without [tls] (allowed on loopback addresses only) has nothing to ask, and
    decides by itself that its peers need no certificate.
    """
    get_certificate = getattr(transport, "getPeerCertificate", None)
    certificate = get_certificate() if get_certificate is not None else None
    return certificate is not None and logical_name in names_of(certificate)
