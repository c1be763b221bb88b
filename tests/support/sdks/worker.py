"""Run calls of one official SDK, named on the command line, for the tests: a line of JSON in, a line of JSON out.

It runs on the Python that the SDKs are installed for. An exception is an answer as well: its classes and its status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main(name):
    # What an SDK prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sdk = importlib.import_module(name)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"result": getattr(sdk, call["call"])(sdk.connect(**call["connect"]), **call["given"])}
        except Exception as error:  # noqa: BLE001 - whatever an SDK raises is what the test looks at
            answer = described(error)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def described(error):
    codes = (getattr(error, name, None) for name in ("status_code", "code"))
    return {
        "errors": [kind.__name__ for kind in type(error).__mro__],
        "status": next((code for code in codes if isinstance(code, int)), None),
        "message": str(error),
    }


if __name__ == "__main__":
    main(sys.argv[1])
