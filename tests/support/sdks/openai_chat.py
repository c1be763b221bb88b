"""The calls of the tests by the official `openai` package, over chat completions."""

from __future__ import annotations

import base64
import json

import openai
from asked import TOOL, City, checked

MODEL = "gpt-6-luna"
TOOLS = [{"type": "function", "function": TOOL}]


def connect(url, key, retries):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries, timeout=20)


def stream(client, prompt):
    pieces, finish, usage = [], None, None
    wanted = {"stream": True, "stream_options": {"include_usage": True}}
    with client.chat.completions.create(model=MODEL, messages=[_user(prompt)], **wanted) as chunks:
        for chunk in map(checked, chunks):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                pieces += [choice.delta.content] if choice.delta.content else []
    return {"pieces": pieces, "finish": finish, "usage": [usage.prompt_tokens, usage.completion_tokens]}


def ask(client, prompt):
    reply = checked(client.chat.completions.create(model=MODEL, messages=[_user(prompt)]))
    usage = [reply.usage.prompt_tokens, reply.usage.completion_tokens]
    return {"text": reply.choices[0].message.content, "usage": usage}


def weigh(client, prompt, count):
    wanted = {"logprobs": True, "top_logprobs": count, "stream": True}
    chunks = map(checked, client.chat.completions.create(model=MODEL, messages=[_user(prompt)], **wanted))
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.logprobs]
    tokens = [token for choice in choices for token in choice.logprobs.content]
    return [[token.token, token.logprob, len(token.top_logprobs)] for token in tokens]


def use_tool(client, prompt, result):
    messages = [_user(prompt)]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as events:
        message = checked(events.get_final_completion()).choices[0].message
    (call,) = message.tool_calls
    function = {"name": call.function.name, "arguments": call.function.arguments}
    messages.append({"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]})
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    reply = checked(client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS))
    answer = reply.choices[0].message.content
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "answer": answer}


def structure(client, prompt):
    reply = client.chat.completions.parse(model=MODEL, messages=[_user(prompt)], response_format=City)
    return reply.choices[0].message.parsed.model_dump()


def models(client):
    return [checked(model).id for model in client.models.list()]


def draw(client, prompt):
    (image,) = checked(client.images.generate(model="gpt-image-2.5-flare", prompt=prompt)).data
    return {"start": base64.b64decode(image.b64_json)[1:4].decode()}


def draw_several(client, prompt, **options):
    made = checked(client.images.generate(model="gpt-image-2.5-flare", prompt=prompt, **options))
    return {"images": [image.b64_json for image in made.data], "tokens": made.usage.output_tokens}


def edit(client, prompt, images, **options):
    files = [(f"image-{number}.png", base64.b64decode(image), "image/png") for number, image in enumerate(images, 1)]
    source = files[0] if len(files) == 1 else files
    made = checked(client.images.edit(model="gpt-image-2.5-flare", prompt=prompt, image=source, **options))
    return {"images": [image.b64_json for image in made.data], "tokens": made.usage.input_tokens}


def _user(prompt):
    return {"role": "user", "content": prompt}


def create_batch(client, prompts):
    bodies = [{"model": MODEL, "messages": [_user(prompt)]} for prompt in prompts]
    rows = [
        {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number, body in enumerate(bodies)
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    kept = {"anchor": "created_at", "seconds": 2_592_000}
    file = checked(client.files.create(file=("rows.jsonl", data), purpose="batch", expires_after=kept))
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
    return [checked(batch).id for batch in client.batches.list(limit=1)]


def batch_results(client, id):
    batch = client.batches.retrieve(id)
    found = {}
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in client.files.content(file).text.split("\n")[:-1]:
            row = json.loads(line)
            body = row["response"] and row["response"]["body"]
            found[row["custom_id"]] = body["choices"][0]["message"]["content"] if body else row["error"]["code"]
    return found


def cancel_batch(client, id):
    return {"status": checked(client.batches.cancel(id)).status}


def delete_batch(client, id):
    deleted = client.files.delete(client.batches.retrieve(id).input_file_id)
    return checked(deleted).deleted


def decide(client, text, questions):
    decided = checked(client.decisions.create(model=MODEL, input=text, questions=questions))
    type(decided).model_validate(decided.model_dump(), strict=True)
    return {"answers": [answer.model_dump() for answer in decided.answers], "tokens": decided.usage.input_tokens}
