"""A client certificate -> when it expires: `ssl` does not say, and few have a package that does."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

__all__ = ["expiry_of"]

_HEADER, _FOOTER = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
#: Tags of ASN.1: the optional version of a certificate, and a time with a year of two digits.
_VERSION, _UTC_TIME = 0xA0, 23


def expiry_of(cert: str | tuple[str, str]) -> datetime:
    """Return when a client certificate expires; raise OSError if it or its key cannot be read or used."""
    path, key = (cert, None) if isinstance(cert, str) else cert
    # Without a password, OpenSSL would ask the terminal for that of an encrypted key.
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, key, password="")
    text = Path(path).read_text(encoding="ascii", errors="replace")
    start = text.index(_HEADER)
    end = text.index(_FOOTER, start) + len(_FOOTER)
    ((_, certificate),) = _elements(ssl.PEM_cert_to_DER_cert(text[start:end]))
    # RFC 5280, 4.1: the version, then serial number, signature, issuer, validity.
    fields = [field for field in _elements(_elements(certificate)[0][1]) if field[0] != _VERSION]
    tag, time = _elements(fields[3][1])[1]
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(time.decode("ascii"), form).replace(tzinfo=timezone.utc)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements of a DER sequence, each a tag and its content."""
    found, at = [], 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length >= 0x80:
            # The length of the length.
            size = length - 0x80
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        found.append((tag, data[at : at + length]))
        at += length
    return found
