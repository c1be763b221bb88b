"""The calls of the tests by the official `openai` package, over Responses."""

from __future__ import annotations

import json

from asked import TOOL, City, checked
from openai_chat import MODEL, connect, models

__all__ = ["ask", "connect", "models", "stream", "structure", "use_tool", "weigh"]

TOOLS = [{"type": "function", "strict": False, **TOOL}]


def stream(client, prompt):
    pieces = []
    with client.responses.stream(model=MODEL, input=prompt) as events:
        for event in map(checked, events):
            pieces += [event.delta] if event.type == "response.output_text.delta" else []
        reply = checked(events.get_final_response())
    return {"pieces": pieces, "finish": reply.status, "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}


def ask(client, prompt):
    reply = checked(client.responses.create(model=MODEL, input=prompt))
    return {"text": reply.output_text, "usage": [reply.usage.input_tokens, reply.usage.output_tokens]}


def weigh(client, prompt, count):
    wanted = {"include": ["message.output_text.logprobs"], "top_logprobs": count}
    (item,) = checked(client.responses.create(model=MODEL, input=prompt, **wanted)).output
    return [[token.token, token.logprob, len(token.top_logprobs)] for token in item.content[0].logprobs]


def use_tool(client, prompt, result):
    asked = [{"role": "user", "content": prompt}]
    with client.responses.stream(model=MODEL, input=asked, tools=TOOLS) as events:
        reply = checked(events.get_final_response())
    (call,) = [item for item in reply.output if item.type == "function_call"]
    head = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    asked += [head, {"type": "function_call_output", "call_id": call.call_id, "output": result}]
    answer = checked(client.responses.create(model=MODEL, input=asked, tools=TOOLS)).output_text
    return {"name": call.name, "arguments": json.loads(call.arguments), "answer": answer}


def structure(client, prompt):
    return client.responses.parse(model=MODEL, input=prompt, text_format=City).output_parsed.model_dump()
