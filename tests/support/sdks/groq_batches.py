"""The calls of the tests about batch jobs by the official `groq` package."""

from __future__ import annotations

import json

import groq
from asked import checked

MODEL = "openai/gpt-oss-20b"


def connect(url, key, retries):
    return groq.Groq(base_url=url, api_key=key, max_retries=retries, timeout=20)


def create_batch(client, prompts):
    bodies = [{"model": MODEL, "messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    rows = [
        {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number, body in enumerate(bodies)
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = checked(client.files.create(file=("rows.jsonl", data), purpose="batch"))
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"aichatkit": "nonce"},
    )
    return {"id": checked(made).id, "status": made.status}


def see_batch(client, id):
    batch = checked(client.batches.retrieve(id))
    counts = batch.request_counts
    return {"status": batch.status, "counts": [counts.total, counts.completed, counts.failed]}


def list_batches(client):
    return [batch.id for batch in checked(client.batches.list()).data]


def batch_results(client, id):
    batch = client.batches.retrieve(id)
    found = {}
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in client.files.content(file).text().split("\n")[:-1]:
            row = json.loads(line)
            body = row["response"] and row["response"]["body"]
            found[row["custom_id"]] = body["choices"][0]["message"]["content"] if body else row["error"]["code"]
    return found


def cancel_batch(client, id):
    return {"status": checked(client.batches.cancel(id)).status}


def delete_batch(client, id):
    return checked(client.files.delete(client.batches.retrieve(id).input_file_id)).deleted
