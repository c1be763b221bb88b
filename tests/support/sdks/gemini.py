"""The calls of the tests by the official `google-genai` package."""

from __future__ import annotations

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


def decide(client, text, questions):
    decided = client.decisions.create(model="gemini-decision-1", input=text, questions=questions)
    answers = {name: answer.model_dump() for name, answer in decided.answers.items()}
    return {"answers": answers, "tokens": decided.usage.total_input_tokens}
