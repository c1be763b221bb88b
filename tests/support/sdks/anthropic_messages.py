"""The calls of the tests by the official `anthropic` package."""

from __future__ import annotations

import anthropic
from asked import PARAMETERS, TOOL, City, checked

MODEL = "claude-haiku-5-5"
TOOLS = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": PARAMETERS}]


def connect(url, key, retries):
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=retries, timeout=20)


def stream(client, prompt):
    with client.messages.stream(model=MODEL, max_tokens=500, messages=[_user(prompt)]) as events:
        pieces = [event.text for event in map(checked, events) if event.type == "text"]
        reply = checked(events.get_final_message())
    usage = [reply.usage.input_tokens, reply.usage.output_tokens]
    return {"pieces": pieces, "finish": reply.stop_reason, "usage": usage}


def ask(client, prompt):
    reply = checked(client.messages.create(model=MODEL, max_tokens=500, messages=[_user(prompt)]))
    return {"text": _text(reply), "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}


def use_tool(client, prompt, result):
    messages = [_user(prompt)]
    with client.messages.stream(model=MODEL, max_tokens=500, messages=messages, tools=TOOLS) as events:
        reply = checked(events.get_final_message())
    (use,) = [block for block in reply.content if block.type == "tool_use"]
    told = {"type": "tool_result", "tool_use_id": use.id, "content": result}
    messages += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}]},
        {"role": "user", "content": [told]},
    ]
    answer = client.messages.create(model=MODEL, max_tokens=500, messages=messages, tools=TOOLS)
    return {"name": use.name, "arguments": use.input, "answer": _text(answer)}


def structure(client, prompt):
    reply = client.messages.parse(model=MODEL, max_tokens=500, messages=[_user(prompt)], output_format=City)
    return reply.parsed_output.model_dump()


def models(client):
    return [checked(model).id for model in client.models.list()]


def _text(reply):
    return "".join(block.text for block in reply.content if block.type == "text")


def _user(prompt):
    return {"role": "user", "content": prompt}


def create_batch(client, prompts):
    contents = [[{"type": "text", "text": prompt}] for prompt in prompts]
    params = [
        {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": content}]} for content in contents
    ]
    rows = [{"custom_id": f"row-{number}", "params": each} for number, each in enumerate(params)]
    made = checked(client.messages.batches.create(requests=rows))
    return {"id": made.id, "status": made.processing_status}


def see_batch(client, id):
    batch = checked(client.messages.batches.retrieve(id))
    counts = batch.request_counts
    failed = counts.errored + counts.canceled + counts.expired
    return {"status": batch.processing_status, "counts": [counts.processing, counts.succeeded, failed]}


def list_batches(client):
    return [checked(batch).id for batch in client.messages.batches.list(limit=1)]


def batch_results(client, id):
    found = {}
    for row in map(checked, client.messages.batches.results(id)):
        found[row.custom_id] = _text(row.result.message) if row.result.type == "succeeded" else row.result.type
    return found


def cancel_batch(client, id):
    return {"status": checked(client.messages.batches.cancel(id)).processing_status}


def delete_batch(client, id):
    return checked(client.messages.batches.delete(id)).type == "message_batch_deleted"
