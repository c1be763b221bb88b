"""Requests to AWS -> signed requests (Signature Version 4); the credentials are found for each attempt."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Callable
from urllib.parse import urlsplit

import requests

from aichatkit._reasons import reason_of
from aichatkit._warnings import warn_user
from aichatkit.auth.aws_credentials import Credentials, CredentialSource
from aichatkit.auth.aws_files import REGION_VARIABLES, find_region, profile_name
from aichatkit.errors import ConfigurationError

__all__ = ["AwsAuth", "aws_auth"]

#: The headers that are signed, with all that begin with `x-amz-`: proxies may change others on the way.
_SIGNED = ("host", "content-type")
#: Added by requests-aws4auth, and of use to S3 only.
_HASH_HEADER = "x-amz-content-sha256"
#: AWS refuses signatures that are this old, in seconds; a clock that is off by more is corrected.
_MAX_SKEW = 240.0
#: Hosts that name their region.
_REGIONAL = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-[0-9]+)\.(?:api\.aws|amazonaws\.com)")


def aws_auth(
    *, region: str | None = None, service: str = "bedrock", profile: str | None = None, credentials: Any = None
) -> AwsAuth:
    """Return what signs requests to AWS: `Client(model="bedrock/...", auth=aws_auth())` (extra `aws`).

    Args:
        region: such as "eu-west-1"; else AWS_REGION, AWS_DEFAULT_REGION or the region of the profile. None is guessed.
        service: the name that AWS signs the service with.
        profile: a profile of the shared files, which then takes precedence over the environment.
        credentials: (access key, secret key) or (access key, secret key, token), credentials or a session of botocore,
            or a function that returns them; else they are found as AWS's own tools find them.

    Raises:
        ConfigurationError: there is no region, or requests-aws4auth is not installed.
    """
    return AwsAuth(region=region, service=service, profile=profile, credentials=credentials)


class AwsAuth(requests.auth.AuthBase):
    """Signs requests for one region and service of AWS; see `aws_auth`."""

    def __init__(
        self,
        *,
        region: str | None = None,
        service: str = "bedrock",
        profile: str | None = None,
        credentials: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _find_signer()
        if not isinstance(service, str) or not re.fullmatch(r"[a-z0-9-]+", service):
            raise ConfigurationError(f"aws_auth: service must be a name such as 'bedrock', not {service!r:.60}")
        if profile is not None and not isinstance(profile, str):
            raise ConfigurationError(f"aws_auth: profile must be the name of one, not {profile!r:.60}")
        self.region = find_region(region, profile=profile)
        if not self.region:
            raise ConfigurationError(
                f"aws_auth: no region; pass region=, or set {' or '.join(REGION_VARIABLES)} or the region of the "
                f"profile {profile_name(profile)!r}"
            )
        self.service = service
        self._source = CredentialSource(credentials, profile=profile)
        self._clock = clock
        self._offset = 0.0
        self._latest: Credentials | None = None

    def __repr__(self) -> str:
        return f"<AwsAuth region={self.region!r} service={self.service!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_latest": None}

    @property
    def is_portable(self) -> bool:
        """Whether it holds no credentials of its own, so that it can be pickled."""
        return self._source.is_portable

    def explain(self) -> str:
        """Return where the credentials were found, without showing them.

        Raises:
            MissingKeyError: there are none.
        """
        return f"{self.region}, credentials of {self._source.find().source}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the signed request."""
        host = urlsplit(str(request.url)).hostname or ""
        self._check_region(host)
        if not (request.body is None or isinstance(request.body, (bytes, str))):
            raise ConfigurationError("aws_auth: a body that is sent in pieces cannot be signed; pass it as bytes")
        self._latest = found = self._source.find()
        now = datetime.fromtimestamp(self._clock() + self._offset, timezone.utc)
        request.headers["x-amz-date"] = now.strftime("%Y%m%dT%H%M%SZ")
        signs = [name for name in request.headers if name.lower().startswith("x-amz-") and name.lower() != _HASH_HEADER]
        # A new one each time: it keeps the day and the credentials, which change, and threads would share it.
        sign = _find_signer()(
            found.access_key,
            found.secret_key,
            self.region,
            _signing_name(self.service, host),
            now.strftime("%Y%m%d"),
            session_token=found.token,
            include_hdrs=[*_SIGNED, *map(str.lower, signs), "x-amz-security-token"],
        )
        signed: requests.PreparedRequest = sign(request)
        signed.headers.pop(_HASH_HEADER, None)
        return signed

    def renew(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether a refused request can be signed better: by the service's clock, or with other credentials."""
        skew = self._skew(headers.get("Date", ""))
        if abs(skew) > _MAX_SKEW:
            self._offset += skew
            warn_user(
                f"aws_auth: the clock of this machine is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead'}; "
                "requests are signed by the clock of the service, but set yours"
            )
            return True
        latest = self._latest
        return latest is not None and latest.token is not None and self._source.find_again(latest)

    def _skew(self, date: str) -> float:
        try:
            return parsedate_to_datetime(date).timestamp() - (self._clock() + self._offset)
        except (TypeError, ValueError, IndexError, OverflowError):
            return 0.0

    def _check_region(self, host: str) -> None:
        match = _REGIONAL.search(host)
        if match is not None and match[1] != self.region:
            raise ConfigurationError(
                f"aws_auth: it signs for {self.region}, and the host {host} is in {match[1]}; pass region={match[1]!r}"
            )


def _signing_name(service: str, host: str) -> str:
    """Return the name of a service in signatures: the two hosts of Bedrock have different ones."""
    return "bedrock-mantle" if service == "bedrock" and host.startswith("bedrock-mantle.") else service


def _find_signer() -> Any:
    try:
        from requests_aws4auth import AWS4Auth
    except ImportError as error:
        reason = reason_of(error)
    else:
        return AWS4Auth
    raise ConfigurationError("aws_auth: needs the extra: pip install 'aichatkit[aws]'", reason=reason)
