"""What the journal and the services say about a batch job, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ChatError

__all__ = ["CANCELLED", "FINAL", "UNSENT", "JobRecord", "JobRow", "RemoteJob", "RowResult", "RowState"]

#: States of a job that nothing follows, and those in which no service can have accepted it.
FINAL = ("done", "refused", "gone", "released")
UNSENT = ("planned", "uploading")
#: The note of a job that was cancelled from here and has not ended.
CANCELLED = "cancelled here"


class JobRecord(NamedTuple):
    """A batch job in the journal; the fields are the columns of its table.

    `state` is "planned", "uploading", "uploaded", "sending", "unsure", "running", "ended", "fetching", or one of FINAL.
    `remote` is the service's ID for the job; `input_ref` names the uploaded file, `output_ref` and `error_ref` those
    with the results. `place` and `account` are hashes of the base URL and of the API key. `held` is the most that the
    job may cost, `cost` what it cost, in US dollars, `tokens` the most tokens. Times are in seconds since 1970.
    `tried` counts the polls, and before the job runs the searches for it.
    """

    job: int
    nonce: str
    provider: str
    place: str
    account: str
    api: str
    model: str
    state: str
    remote: str
    input_ref: str
    output_ref: str
    error_ref: str
    rows: int
    answered: int
    failed: int
    bytes: int
    tokens: int
    held: float
    cost: float | None
    tried: int
    created: float
    sent: float | None
    deadline: float | None
    next_poll: float
    owner: str
    until: float
    note: str

    @property
    def id(self) -> str:
        """The service's ID for the job, or ours while the service has none."""
        return self.remote or f"ak-{self.nonce}"

    @property
    def name(self) -> str:
        """The name of the job, and of its file, at the service."""
        return f"ak-{self.nonce}"


class RowState:
    """The states of a row in a job."""

    OUT, ANSWERED, DRAFT, FAILED, UNRUN = "out", "answered", "draft", "failed", "unrun"


class JobRow(NamedTuple):
    """A row of a job: its number in the job, its key in the journal, and how it ended.

    `round` counts the answers that did not fit the schema, `tries` the jobs in which it was not run. `record` is the
    error of a row that failed or was not run, as JSON text.
    """

    n: int
    key: bytes
    round: int = 1
    tries: int = 0
    state: str = RowState.OUT
    record: str = ""


class RemoteJob(NamedTuple):
    """A job as its service describes it.

    `ended` says that it is in a final state. `failure` is set if the service refused the job as a whole; `bad_lines`
    are the numbers of the rows that are to blame, with the reason. `is_cancelled` and `is_expired` say how it ended.
    """

    id: str
    state: str = ""
    ended: bool = False
    total: int | None = None
    answered: int = 0
    failed: int = 0
    output_ref: str = ""
    error_ref: str = ""
    created: float | None = None
    deadline: float | None = None
    failure: ChatError | None = None
    bad_lines: Mapping[int, str] = {}
    is_cancelled: bool = False
    is_expired: bool = False
    input_ref: str = ""
    name: str = ""
    #: Results that came with the job itself.
    inline: Sequence[Any] = ()


class RowResult(NamedTuple):
    """One line of the results: the ID of its row, and a `body` or an `error`.

    A row that was not run has neither; `reason` is then "expired" or "cancelled".
    """

    row_id: str
    body: Any = None
    error: ChatError | None = None
    reason: str = ""
    record: Any = None
