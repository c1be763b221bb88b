"""Ask through a server that wants Kerberos or NTLM, on the Python that their packages are installed for.

It reads a JSON object from its standard input and writes one: what was answered, or the error.
"""

from __future__ import annotations

import json
import sys

import requests

from aichatkit import ChatError, Client


def build_auth(name):
    if name == "requests-gssapi":
        from requests_gssapi import HTTPSPNEGOAuth

        return HTTPSPNEGOAuth()
    if name == "requests-gssapi, at once":
        from requests_gssapi import HTTPSPNEGOAuth

        return HTTPSPNEGOAuth(opportunistic_auth=True)
    if name == "requests-kerberos":
        from requests_kerberos import HTTPKerberosAuth

        return HTTPKerberosAuth()
    if name == "requests-ntlm":
        from requests_ntlm import HttpNtlmAuth

        return HttpNtlmAuth("PEERS\\reader", "open sesame")
    return None


def answer(order):
    """Make the calls of an order and return what was answered."""
    options = {"model": "openai/gpt-6-luna", "retry": 0, **order["options"]}
    auth = build_auth(order["auth"])
    if order["in_session"]:
        options["session"] = requests.Session()
        options["session"].auth = auth
    elif auth is not None:
        options["auth"] = auth
    found = []
    with Client(**options) as client:
        for prompt in order["prompts"]:
            try:
                with client.stream(prompt) as stream:
                    pieces = list(stream)
                attempts = [attempt.error and attempt.error.status for attempt in stream.reply.attempts]
                found.append({"text": "".join(pieces), "pieces": len(pieces), "attempts": attempts})
            except ChatError as error:
                found.append({"error": type(error).__name__, "status": error.status, "message": str(error)})
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))
