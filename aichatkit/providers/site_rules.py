"""What errors of the free web chat sites mean: their visitors have no key and no account to check."""

from __future__ import annotations

from aichatkit.classification.rules import Rule
from aichatkit.errors import (
    AuthenticationError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)

__all__ = ["SITE_KEY", "SITE_RULES"]

#: The key that a site has for its model's service, which no visitor can change.
SITE_KEY = ("the site's own key for its model was refused", "only the site can fix it; use another provider")
_REFUSED = ("the site refused the request", "no API key is sent to it; ask another provider")

SITE_RULES = (
    Rule(
        None,
        r"api[ _]key (?:not (?:valid|found)|expired|\w+ (?:invalid|expired|leaked))|api_key_(?:invalid|expired)"
        r"|(?:incorrect|invalid) api[ _]key",
        PermissionDeniedError,
        says=SITE_KEY,
    ),
    Rule(None, None, AuthenticationError, says=_REFUSED),
    Rule(None, None, PermissionDeniedError, says=_REFUSED),
    Rule(
        None,
        None,
        QuotaExceededError,
        says=("the limit of the site is reached", "waiting seldom helps: ask another provider"),
    ),
    Rule(
        None,
        None,
        ModelNotFoundError,
        says=("the site's own model was not found", "only the site can fix it; ask another provider"),
    ),
)
