"""The calls of the tests by the official `google-genai` package."""

from __future__ import annotations

import base64
import io
import json

from asked import TOOL, City
from google import genai
from google.genai import types

MODEL = "gemini-flash-latest"
TOOLS = {"tools": [{"function_declarations": [TOOL]}], "automatic_function_calling": {"disable": True}}


def connect(url, key, retries):
    patience = types.HttpRetryOptions(attempts=retries + 1, initial_delay=0.01)
    options = types.HttpOptions(base_url=url, timeout=20_000, retry_options=patience)
    return genai.Client(api_key=key, vertexai=False, http_options=options)


def stream(client, prompt):
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=prompt))
    pieces = [chunk.text for chunk in chunks if chunk.text]
    usage = chunks[-1].usage_metadata
    tokens = [usage.prompt_token_count, usage.candidates_token_count]
    return {"pieces": pieces, "finish": chunks[-1].candidates[0].finish_reason.name, "usage": tokens}


def ask(client, prompt):
    reply = client.models.generate_content(model=MODEL, contents=prompt)
    usage = reply.usage_metadata
    return {"text": reply.text, "usage": [usage.prompt_token_count, usage.candidates_token_count]}


def weigh(client, prompt, count):
    config = {"response_logprobs": True, "logprobs": count}
    found = client.models.generate_content(model=MODEL, contents=prompt, config=config).candidates[0].logprobs_result
    tops = [len(top.candidates) for top in found.top_candidates]
    return [[token.token, token.log_probability, top] for token, top in zip(found.chosen_candidates, tops)]


def draw(client, prompt, images, ratio, resolution):
    layout = types.ImageConfig(aspect_ratio=ratio, image_size=resolution)
    config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"], image_config=layout)
    parts = [types.Part.from_bytes(data=base64.b64decode(image), mime_type="image/png") for image in images]
    contents = [types.UserContent([prompt, *parts])]
    reply = client.models.generate_content(model="gemini-3-pro-image", contents=contents, config=config)
    found = [part.inline_data.data for part in reply.candidates[0].content.parts if part.inline_data]
    return [base64.b64encode(data).decode() for data in found]


def use_tool(client, prompt, result):
    asked = [types.UserContent(prompt)]
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=asked, config=TOOLS))
    (call,) = [call for chunk in chunks for call in chunk.function_calls or ()]
    asked.append(types.ModelContent(types.Part(function_call=call)))
    asked.append(types.UserContent(types.Part.from_function_response(name=call.name, response={"result": result})))
    answer = client.models.generate_content(model=MODEL, contents=asked, config=TOOLS)
    return {"name": call.name, "arguments": call.args, "answer": answer.text}


def structure(client, prompt):
    config = {"response_mime_type": "application/json", "response_schema": City}
    return client.models.generate_content(model=MODEL, contents=prompt, config=config).parsed.model_dump()


def models(client):
    return [model.name for model in client.models.list()]


def create_batch(client, prompts, inline=False):
    rows = [{"contents": [{"role": "user", "parts": [{"text": prompt}]}]} for prompt in prompts]
    if inline:
        source = [{**row, "metadata": {"key": f"row-{number}"}} for number, row in enumerate(rows)]
    else:
        lines = [json.dumps({"key": f"row-{number}", "request": row}) + "\n" for number, row in enumerate(rows)]
        config = {"display_name": "rows", "mime_type": "application/jsonl"}
        source = client.files.upload(file=io.BytesIO("".join(lines).encode()), config=config).name
    made = client.batches.create(model=MODEL, src=source, config={"display_name": "rows"})
    return {"id": made.name, "status": made.state.name}


def see_batch(client, id):
    batch = client.batches.get(name=id)
    stats = batch.completion_stats
    return {"status": batch.state.name, "counts": stats and [stats.successful_count, stats.failed_count]}


def list_batches(client):
    return [batch.name for batch in client.batches.list(config={"page_size": 1})]


def batch_results(client, id):
    to = client.batches.get(name=id).dest
    if to.inlined_responses:
        answers = to.inlined_responses
        return {answer.metadata["key"]: answer.response.text if answer.response else "error" for answer in answers}
    found = {}
    for line in client.files.download(file=to.file_name).decode().split("\n")[:-1]:
        row = json.loads(line)
        parts = row["response"]["candidates"][0]["content"]["parts"] if "response" in row else [{"text": "error"}]
        found[row["key"]] = "".join(part["text"] for part in parts)
    return found


def cancel_batch(client, id):
    client.batches.cancel(name=id)
    return {"status": client.batches.get(name=id).state.name}


def delete_batch(client, id):
    client.batches.delete(name=id)
    return True


def decide(client, text, questions):
    decided = client.decisions.create(model="gemini-decision-1", input=text, questions=questions)
    answers = {name: answer.model_dump() for name, answer in decided.answers.items()}
    return {"answers": answers, "tokens": decided.usage.total_input_tokens}
