"""Celery tasks that ask: a rate limit puts the task back for as long as the service says, a quota does not."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from aichatkit import Client, RateLimitError

app = Celery("celery_tasks")
app.conf.update(
    broker_url=os.environ.get("CELERY_BROKER_URL", "memory://"),
    result_backend=os.environ.get("CELERY_RESULT_BACKEND", "cache+memory://"),
    # Where the broker is a folder, as in the tests.
    broker_transport_options={
        option: os.environ["CELERY_QUEUE"]
        for option in ("data_folder_in", "data_folder_out", "control_folder")
        if "CELERY_QUEUE" in os.environ
    },
)
# Made once, before the worker forks: each child opens connections of its own. Celery does the waiting, so nothing is
# retried here.
client = Client(retry=0, timeout=30)


@app.task(bind=True, max_retries=5)
def summarise(task: Any, text: str) -> dict[str, Any]:
    """Return the answer and who gave it."""
    try:
        reply = client.ask(f"Summarise in one sentence: {text}")
    except RateLimitError as error:
        raise task.retry(countdown=error.retry_after or 30, exc=error) from error
    return {"text": reply.text, "process": os.getpid()}
