"""A client for each mainstream wire, written from the services' documentation: builds requests, parses answers."""

from __future__ import annotations

import json
from types import MappingProxyType

from sandbox_talk import talk


class Speaker:
    """A client of one wire; an answer is a dict of text, thoughts, calls, finish reason and both token counts."""

    path = ""
    stop = "stop"
    length = "length"
    tools = "tool_calls"
    headers = None

    def ask(self, box, prompt, *, stream, fault="", headers=None, **wishes):
        record = self.request(prompt, **wishes)
        if self.streams_by_field:
            record["stream"] = stream
        path = f"/fault/{fault}{self.target(stream)}" if fault else self.target(stream)
        return talk(box, path, record, headers=headers if headers is not None else self.headers or {})

    streams_by_field = True

    def target(self, stream):
        return self.path

    def said(self, box, prompt, *, stream, **wishes):
        answer = self.ask(box, prompt, stream=stream, **wishes)
        assert answer.status == 200, answer.body
        return self.streamed(answer) if stream else self.whole(answer.json())


def sse(answer):
    """Return the (name, record) of each event without the end marker."""
    found = []
    for block in answer.body.decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields and fields["data"] != "[DONE]":
            found.append((fields.get("event"), json.loads(fields["data"])))
    return found


def function_tool(name, schema):
    return {"type": "function", "function": {"name": name, "parameters": schema}}


class Chat(Speaker):
    path = "/v1/chat/completions"

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=None):
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": prompt}]
        if result:
            messages += [
                {"role": "assistant", "content": None},
                {"role": "tool", "tool_call_id": "1", "content": result},
            ]
        record = {"model": "m", "messages": messages, "stream_options": {"include_usage": True}}
        record.update({"tools": [function_tool(*item) for item in tools.items()]} if tools else {})
        record.update({"tool_choice": {"type": "function", "function": {"name": forced}}} if forced else {})
        record.update({"tool_choice": "required"} if forced == "*" else {})
        record.update({"max_tokens": limit} if limit else {})
        if schema is not None:
            json_schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            record["response_format"] = json_schema if schema else {"type": "json_object"}
        return record

    def whole(self, record):
        (choice,) = record["choices"]
        message = choice["message"]
        calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", ())]
        return {
            "text": message["content"] or "",
            "thoughts": message.get("reasoning_content", ""),
            "calls": calls,
            "finish": choice["finish_reason"],
            "input": record["usage"]["prompt_tokens"],
            "output": record["usage"]["completion_tokens"],
        }

    def streamed(self, answer):
        records = [record for _, record in sse(answer)]
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert records[-1]["choices"] == []
        choices = [record["choices"][0] for record in records[:-1]]
        deltas = [choice["delta"] for choice in choices]
        calls = {}
        for entry in (entry for delta in deltas for entry in delta.get("tool_calls", ())):
            call = calls.setdefault(entry["index"], ["", ""])
            call[0] += entry["function"].get("name", "")
            call[1] += entry["function"]["arguments"]
        return {
            "text": "".join(delta.get("content") or "" for delta in deltas),
            "thoughts": "".join(delta.get("reasoning_content", "") for delta in deltas),
            "calls": [(name, json.loads(arguments)) for name, arguments in calls.values()],
            "finish": choices[-1]["finish_reason"],
            "input": records[-1]["usage"]["prompt_tokens"],
            "output": records[-1]["usage"]["completion_tokens"],
        }


class Responses(Speaker):
    path = "/v1/responses"
    stop, length, tools = "completed", "incomplete", "completed"

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=None):
        items = [{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]
        if result:
            items += [{"type": "function_call", "call_id": "1", "name": "x", "arguments": "{}"}]
            items += [{"type": "function_call_output", "call_id": "1", "output": result}]
        record = {"model": "m", "input": items}
        record.update(
            {"tools": [{"type": "function", "name": n, "parameters": s} for n, s in tools.items()]} if tools else {}
        )
        record.update({"tool_choice": {"type": "function", "name": forced}} if forced else {})
        record.update({"tool_choice": "required"} if forced == "*" else {})
        record.update({"max_output_tokens": limit} if limit else {})
        if schema is not None:
            wanted = {"type": "json_schema", "name": "x", "schema": schema} if schema else {"type": "json_object"}
            record["text"] = {"format": wanted}
        return record

    def whole(self, record):
        items = record["output"]
        texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
        thoughts = [part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"]]
        calls = [(i["name"], json.loads(i["arguments"])) for i in items if i["type"] == "function_call"]
        return {
            "text": "".join(texts),
            "thoughts": "".join(thoughts),
            "calls": calls,
            "finish": record["status"],
            "input": record["usage"]["input_tokens"],
            "output": record["usage"]["output_tokens"],
        }

    def streamed(self, answer):
        events = sse(answer)
        assert all(name == record["type"] for name, record in events)
        assert [record["sequence_number"] for _, record in events] == list(range(len(events)))
        joined = {}
        for name, record in events:
            if name.endswith(".delta"):
                joined[name] = joined.get(name, "") + record["delta"]
        found = self.whole(events[-1][1]["response"])
        assert events[-1][0] == f"response.{found['finish']}"
        assert joined.get("response.output_text.delta", "") == found["text"]
        assert joined.get("response.reasoning_summary_text.delta", "") == found["thoughts"]
        arguments = "".join(json.dumps(arguments) for _, arguments in found["calls"])
        assert joined.get("response.function_call_arguments.delta", "") == arguments
        return found


class Anthropic(Speaker):
    path = "/v1/messages"
    stop, length, tools = "end_turn", "max_tokens", "tool_use"
    headers = MappingProxyType({"anthropic-version": "2023-06-01"})

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=1000):
        messages = [{"role": "user", "content": prompt}]
        if result:
            block = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": result}]}
            use = {"type": "tool_use", "id": "1", "name": "x", "input": {}}
            messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [block]}]
        record = {"model": "m", "max_tokens": limit, "messages": messages, "system": "Be kind."}
        record.update({"tools": [{"name": n, "input_schema": s} for n, s in tools.items()]} if tools else {})
        record.update({"tool_choice": {"type": "tool", "name": forced}} if forced else {})
        record.update({"tool_choice": {"type": "any"}} if forced == "*" else {})
        record.update({"output_format": {"type": "json_schema", "schema": schema}} if schema is not None else {})
        return record

    def whole(self, record):
        blocks = record["content"]
        return {
            "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
            "thoughts": "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
            "calls": [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
            "finish": record["stop_reason"],
            "input": record["usage"]["input_tokens"],
            "output": record["usage"]["output_tokens"],
        }

    def streamed(self, answer):
        events = sse(answer)
        names = [name for name, _ in events]
        assert names[:2] == ["message_start", "ping"]
        assert names[-2:] == ["message_delta", "message_stop"]
        message = {**events[0][1]["message"], **events[-2][1]["delta"]}
        message["usage"]["output_tokens"] = events[-2][1]["usage"]["output_tokens"]
        arguments = {}
        for name, record in events:
            if name == "content_block_start":
                message["content"].append(record["content_block"])
            elif name == "content_block_delta":
                self._add(message["content"][record["index"]], record["delta"], arguments)
        return self.whole(message)

    def _add(self, block, delta, arguments):
        if delta["type"] == "input_json_delta":
            arguments[block["id"]] = arguments.get(block["id"], "") + delta["partial_json"]
            if arguments[block["id"]].endswith("}"):
                block["input"] = json.loads(arguments[block["id"]])
        else:
            field = delta["type"].partition("_")[0]
            block[field] += delta[field]


class Gemini(Speaker):
    stop, length, tools = "STOP", "MAX_TOKENS", "STOP"
    streams_by_field = False

    def target(self, stream):
        return f"/v1beta/models/eliza:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=None):
        contents = [{"role": "user", "parts": [{"text": prompt}]}]
        if result:
            contents += [{"role": "model", "parts": [{"functionCall": {"name": "x", "args": {}}}]}]
            response = {"name": "x", "response": {"result": result}}
            contents += [{"role": "user", "parts": [{"functionResponse": response}]}]
        config = {"maxOutputTokens": limit} if limit else {}
        if schema is not None:
            config.update({"responseMimeType": "application/json"}, **({"responseSchema": schema} if schema else {}))
        record = {"contents": contents, "generationConfig": config}
        if tools:
            record["tools"] = [{"functionDeclarations": [{"name": n, "parameters": s} for n, s in tools.items()]}]
        if forced:
            allowed = {} if forced == "*" else {"allowedFunctionNames": [forced]}
            record["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", **allowed}}
        return record

    def whole(self, record):
        return self.joined([record])

    def streamed(self, answer):
        assert b"\r\n\r\n" in answer.body
        return self.joined([record for _, record in sse(answer)])

    def joined(self, records):
        parts = [part for record in records for part in record["candidates"][0]["content"]["parts"]]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        usage = records[-1]["usageMetadata"]
        return {
            "text": "".join(part.get("text", "") for part in parts if not part.get("thought")),
            "thoughts": "".join(part["text"] for part in parts if part.get("thought")),
            "calls": [(call["name"], call["args"]) for call in calls],
            "finish": records[-1]["candidates"][0]["finishReason"],
            "input": usage["promptTokenCount"],
            "output": usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0),
        }


class GeminiArray(Gemini):
    def target(self, stream):
        return super().target(stream).partition("?")[0]

    def streamed(self, answer):
        return self.joined(answer.json())


class Ollama(Speaker):
    path = "/api/chat"
    tools = "stop"

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=None):
        messages = [{"role": "user", "content": prompt}]
        messages += [{"role": "assistant", "content": ""}, {"role": "tool", "content": result}] if result else []
        record = {"model": "m", "messages": messages, "options": {"num_predict": limit} if limit else {}}
        record.update({"tools": [function_tool(*item) for item in tools.items()]} if tools else {})
        record.update({"format": schema or "json"} if schema is not None else {})
        return record

    def whole(self, record):
        return self.joined([record])

    def streamed(self, answer):
        assert answer.headers["content-type"] == "application/x-ndjson"
        return self.joined([json.loads(line) for line in answer.body.splitlines()])

    def joined(self, records):
        messages = [record["message"] for record in records]
        assert [record["done"] for record in records] == [False] * (len(records) - 1) + [True]
        calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
        return {
            "text": "".join(message["content"] for message in messages),
            "thoughts": "".join(message.get("thinking", "") for message in messages),
            "calls": [(call["name"], call["arguments"]) for call in calls],
            "finish": records[-1]["done_reason"],
            "input": records[-1]["prompt_eval_count"],
            "output": records[-1]["eval_count"],
        }


class Cohere(Speaker):
    path = "/v2/chat"
    stop, length, tools = "COMPLETE", "MAX_TOKENS", "TOOL_CALL"

    def request(self, prompt, *, tools=None, forced=None, result=None, schema=None, limit=None):
        messages = [{"role": "user", "content": prompt}]
        messages += [{"role": "assistant"}, {"role": "tool", "tool_call_id": "1", "content": result}] if result else []
        record = {"model": "m", "messages": messages}
        record.update({"tools": [function_tool(*item) for item in tools.items()]} if tools else {})
        record.update({"tool_choice": "REQUIRED"} if forced else {})
        record.update({"max_tokens": limit} if limit else {})
        if schema is not None:
            record["response_format"] = {"type": "json_object", **({"json_schema": schema} if schema else {})}
        return record

    def whole(self, record):
        content = record["message"]["content"]
        calls = [call["function"] for call in record["message"].get("tool_calls", ())]
        return {
            "text": "".join(part.get("text", "") for part in content),
            "thoughts": "".join(part.get("thinking", "") for part in content),
            "calls": [(call["name"], json.loads(call["arguments"])) for call in calls],
            "finish": record["finish_reason"],
            "input": record["usage"]["tokens"]["input_tokens"],
            "output": record["usage"]["tokens"]["output_tokens"],
        }

    def streamed(self, answer):
        assert answer.body.endswith(b"data: [DONE]\n\n")
        content, calls = [], []
        for name, record in sse(answer):
            if name in ("content-start", "content-delta"):
                content.append(record["delta"]["message"]["content"])
            elif name == "tool-call-start":
                calls.append(record["delta"]["message"]["tool_calls"])
            elif name == "tool-call-delta":
                more = record["delta"]["message"]["tool_calls"]["function"]["arguments"]
                calls[record["index"]]["function"]["arguments"] += more
        return self.whole({"message": {"content": content, "tool_calls": calls}, **record["delta"]})


SPEAKERS = [Chat(), Responses(), Anthropic(), Gemini(), GeminiArray(), Ollama(), Cohere()]
