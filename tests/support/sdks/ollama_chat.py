"""The calls of the tests by the official `ollama` package."""

from __future__ import annotations

import ollama
from asked import TOOL, City

MODEL = "llama3.2"
TOOLS = [{"type": "function", "function": TOOL}]


def connect(url, key, retries):
    # This package has no retries of its own.
    return ollama.Client(host=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)


def stream(client, prompt):
    chunks = list(client.chat(MODEL, [_user(prompt)], stream=True))
    pieces = [chunk.message.content for chunk in chunks if chunk.message.content]
    last = chunks[-1]
    return {"pieces": pieces, "finish": last.done_reason, "usage": [last.prompt_eval_count, last.eval_count]}


def ask(client, prompt):
    reply = client.chat(MODEL, [_user(prompt)])
    return {"text": reply.message.content, "usage": [reply.prompt_eval_count, reply.eval_count]}


def weigh(client, prompt, count):
    reply = client.chat(model=MODEL, messages=[{"role": "user", "content": prompt}], logprobs=True, top_logprobs=count)
    return [[token.token, token.logprob, len(token.top_logprobs)] for token in reply.logprobs]


def use_tool(client, prompt, result):
    messages = [_user(prompt)]
    chunks = list(client.chat(MODEL, messages, tools=TOOLS, stream=True))
    (message,) = [chunk.message for chunk in chunks if chunk.message.tool_calls]
    (call,) = message.tool_calls
    messages += [message, {"role": "tool", "tool_name": call.function.name, "content": result}]
    answer = client.chat(MODEL, messages, tools=TOOLS).message.content
    return {"name": call.function.name, "arguments": dict(call.function.arguments), "answer": answer}


def structure(client, prompt):
    reply = client.chat(MODEL, [_user(prompt)], format=City.model_json_schema())
    return City.model_validate_json(reply.message.content).model_dump()


def models(client):
    return [model.model for model in client.list().models]


def _user(prompt):
    return {"role": "user", "content": prompt}


def decide(client, text, questions):
    decided = client.systemone(model="nimble", state=text, questions=questions)
    answers = {name: answer.model_dump() for name, answer in decided.answers.items()}
    return {"answers": answers, "tokens": decided.usage.input_tokens}
