"""The calls of the tests about batch jobs by the official `mistralai` package."""

from __future__ import annotations

import json

from mistralai.client import Mistral
from mistralai.client.models import EmbeddingResponse

MODEL = "mistral-small-latest"


def connect(url, key, retries):
    return Mistral(api_key=key, server_url=url, timeout_ms=20_000)


def create_batch(client, prompts, inline=False):
    bodies = [{"messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    rows = [{"custom_id": f"row-{number}", "body": body} for number, body in enumerate(bodies)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if inline:
        source = {"requests": rows}
    else:
        file = {"file_name": "rows.jsonl", "content": data}
        source = {"input_files": [client.files.upload(file=file, purpose="batch").id]}
    made = client.batch.jobs.create(
        endpoint="/v1/chat/completions", model=MODEL, metadata={"aichatkit": "nonce"}, timeout_hours=24, **source
    )
    return {"id": made.id, "status": made.status}


def create_embeddings_batch(client, texts):
    bodies = [{"input": [text], "encoding_format": "float"} for text in texts]
    rows = [{"custom_id": f"row-{number}", "body": body} for number, body in enumerate(bodies)]
    file = {"file_name": "rows.jsonl", "content": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    files = [client.files.upload(file=file, purpose="batch").id]
    options = {"metadata": {"aichatkit": "nonce"}, "timeout_hours": 24, "input_files": files}
    made = client.batch.jobs.create(endpoint="/v1/embeddings", model="mistral-embed", **options)
    return {"id": made.id, "status": made.status}


def batch_vectors(client, id):
    content = client.files.download(file_id=client.batch.jobs.get(job_id=id).output_file)
    found = {}
    for line in content.read().decode().split("\n")[:-1]:
        row = json.loads(line)
        reply = EmbeddingResponse.model_validate(row["response"]["body"])
        found[row["custom_id"]] = len(reply.data[0].embedding)
    return found


def see_batch(client, id):
    job = client.batch.jobs.get(job_id=id)
    return {"status": job.status, "counts": [job.total_requests, job.succeeded_requests, job.failed_requests]}


def list_batches(client):
    return [job.id for job in client.batch.jobs.list(order_by="-created").data]


def batch_results(client, id):
    job = client.batch.jobs.get(job_id=id)
    found = {}
    for file in filter(None, (job.output_file, job.error_file)):
        content = client.files.download(file_id=file)
        for line in content.read().decode().split("\n")[:-1]:
            row = json.loads(line)
            body = row["response"] and row["response"]["body"]
            found[row["custom_id"]] = body["choices"][0]["message"]["content"] if body else row["error"]["code"]
    return found


def inline_results(client, id):
    rows = client.batch.jobs.get(job_id=id, inline=True).outputs
    return {row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in rows}


def cancel_batch(client, id):
    return {"status": client.batch.jobs.cancel(job_id=id).status}


def delete_batch(client, id):
    client.batch.jobs.delete(job_id=id)
    return True
