"""Signatures as AWS checks them: recomputed from what arrived, with nothing but the standard library."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote

SECRETS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


def signature_of(secret, method, path, query, headers, signed, body, *, date, region, service):
    """Return the signature of a request, as the documentation of AWS describes it."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(query, True))
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in signed]
    canonical = "\n".join(
        [
            method,
            # Every service but S3 encodes the path as it was sent once more.
            quote(path, safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            ";".join(signed),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (date[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def problem_of(request, *, secrets=SECRETS, token=None):
    """Return why a request would be refused, and its scope: (problem or "", (region, service))."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        return "no signature", None
    access_key, day, region, service, names, signature = match.groups()
    signed = names.split(";")
    missing = {"host", "x-amz-date"} - set(signed)
    missing |= {name for name in headers if name.startswith("x-amz-")} - set(signed)
    if missing:
        return f"not signed: {sorted(missing)}", None
    if access_key not in secrets:
        return "unknown key", None
    if headers.get("x-amz-security-token") != token:
        return "wrong token", None
    path, _, query = request.target.partition("?")
    expected = signature_of(
        secrets[access_key],
        request.method,
        path,
        query,
        headers,
        signed,
        request.body,
        date=headers["x-amz-date"],
        region=region,
        service=service,
    )
    problem = "" if hmac.compare_digest(expected, signature) and headers["x-amz-date"][:8] == day else "wrong signature"
    return problem, (region, service)
