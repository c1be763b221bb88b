"""Services with batch jobs on loopback: a clock that tests move, faults, and a ledger of what was asked and paid."""

from __future__ import annotations

import base64
import json
import math
import random
import re
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKENS_IN, TOKENS_OUT = 10, 5
#: How long a job takes, in seconds of the clock.
DURATION = 60.0
SERVICES = ("openai", "azure", "anthropic", "gemini", "mistral", "groq", "xai", "together")
#: What a client needs to talk to each.
MODELS = {
    "openai": "openai/gpt-6-luna",
    "azure": "azure/my-batch",
    "anthropic": "anthropic/claude-haiku-5-5",
    "gemini": "gemini/gemini-3.8-flash",
    "mistral": "mistral/mistral-small-latest",
    "groq": "groq/openai/gpt-oss-20b",
    "xai": "xai/grok-4.3",
    "together": "together/openai/gpt-oss-120b",
}
#: The models for other tasks than chats.
TASK_MODELS = {
    ("embed", "openai"): "openai/text-embedding-3-small",
    ("embed", "azure"): "azure/my-embeddings",
    ("embed", "gemini"): "gemini/gemini-embedding-001",
    ("embed", "mistral"): "mistral/mistral-embed",
    # The probabilities of its tokens are used.
    ("decide", "openai"): "openai/gpt-rosalind-research",
}
PATHS = {"openai": "/v1", "mistral": "/v1", "groq": "/openai/v1", "xai": "/v1", "together": "/v1"}


class Refusal(Exception):
    """A request that the service refuses with a status."""

    def __init__(self, status, message, code=None):
        super().__init__(message)
        self.status, self.body = status, {"error": {"message": message, "code": code, "type": "invalid_request_error"}}


class Job:
    """A job: its rows are (id, body) pairs; `results` are lines of the service's form once it has ended."""

    def __init__(self, service, id, rows, **facts):
        self.service, self.id, self.rows = service, id, rows
        self.created, self.state, self.facts = service.now, "running", facts
        self.output, self.errors = [], []
        self.failure = None
        self.is_deleted = False


class JobService:
    """All services in one: paths tell which. `answer(prompt)` makes the text of a row."""

    def __init__(self, kind):
        self.kind = kind
        self.now = 1_795_000_000.0
        self.jobs, self.files, self.names = {}, {}, {}
        #: How often each prompt was answered, and charged, in a job, and live.
        self.asked, self.live = Counter(), Counter()
        self.requests = []
        self.answer = lambda prompt: f"answer to {prompt}"
        #: Called with each job when its time is up; may return an ending: "expired", "cancelled", "failed".
        self.ending = lambda job: "completed"
        #: Called with each row: None answers it, a (status, body) refuses it, "skip" leaves it out.
        self.fate = lambda prompt: None
        #: Called with the lines of the results before they are sent.
        self.edit = lambda lines: lines
        #: Called with (method, path): a status, "drop" (done, answer lost), "refuse" (not done), "html", or None.
        self.fault = lambda method, path: None
        self.duration = DURATION
        self.lag = 0.0
        self.lock = threading.RLock()
        self.random = random.Random(7)
        self._count = 0

    def sleep(self, seconds):
        self.now += seconds

    def uploads(self):
        return sum(method == "POST" and "file" in path for method, path in self.requests)

    def creations(self):
        return len(self.jobs)

    # What every service does.

    def next_id(self, prefix):
        self._count += 1
        return f"{prefix}{self._count}"

    def settle(self, job):
        """End a job whose time is up."""
        if job.state != "running" or self.now < job.created + self.duration:
            return
        ending = "cancelled" if job.facts.get("cancelled") else self.ending(job)
        job.state = ending
        if ending == "failed":
            return
        rows = list(job.rows)
        self.random.shuffle(rows)
        share = len(rows) if ending == "completed" else len(rows) // 2
        for number, (id, body) in enumerate(rows):
            prompt = prompt_of(body)
            fate = self.fate(prompt)
            if number >= share:
                job.errors.append(self.unrun(id, ending))
            elif fate == "skip":
                continue
            elif fate is not None:
                job.errors.append(self.refused(id, *fate))
            else:
                self.asked[prompt] += 1
                job.output.append(self.answered(id, self.reply(self.answer(prompt), body)))

    def reply(self, text, body):
        if is_embedding(body):
            return self.vectors(body)
        if self.kind == "anthropic":
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT, "service_tier": "batch"},
            }
        if self.kind == "gemini":
            usage = {"promptTokenCount": TOKENS_IN, "candidatesTokenCount": TOKENS_OUT, "totalTokenCount": 15}
            content = {"role": "model", "parts": [{"text": text}]}
            return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}
        if "input" in body:
            message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
            usage = {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT, "total_tokens": 15}
            return {
                "id": "resp_1",
                "object": "response",
                "status": "completed",
                "model": body["model"],
                "output": [message],
                "usage": usage,
            }
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": 15}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": body.get("model", "m"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }

    def vectors(self, body):
        if self.kind == "gemini":
            return {"embedding": {"values": vector_of(prompt_of(body))}, "tokenCount": str(TOKENS_IN)}
        texts = body["input"]
        entries = [{"index": number, "embedding": vector_of(text)} for number, text in enumerate(texts)]
        for entry in entries if body.get("encoding_format") == "base64" else ():
            entry["embedding"] = base64.b64encode(struct.pack("<3f", *entry["embedding"])).decode()
        tokens = TOKENS_IN * len(texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": body.get("model", "m"), "data": entries, "usage": usage}

    def answered(self, id, body):
        if self.kind == "anthropic":
            return {"custom_id": id, "result": {"type": "succeeded", "message": body}}
        if self.kind == "gemini":
            return {"key": id, "response": body}
        if self.kind == "xai":
            return {"batch_request_id": id, "batch_result": {"response": {"chat_get_completion": body}}}
        return {"custom_id": id, "response": {"status_code": 200, "body": body}, "error": None}

    def refused(self, id, status, body):
        if self.kind == "anthropic":
            types = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}
            error = {"type": types.get(status, "api_error"), "message": body["error"]["message"]}
            return {"custom_id": id, "result": {"type": "errored", "error": {"type": "error", "error": error}}}
        if self.kind in ("gemini", "xai"):
            error = {"code": {400: 3, 429: 8}.get(status, 13), "message": body["error"]["message"]}
            return (
                {"key": id, "error": error}
                if self.kind == "gemini"
                else {"batch_request_id": id, "batch_result": {"error": error}}
            )
        return {"custom_id": id, "response": {"status_code": status, "body": body}, "error": None}

    def unrun(self, id, ending):
        if self.kind == "anthropic":
            return {"custom_id": id, "result": {"type": {"cancelled": "canceled"}.get(ending, ending)}}
        if self.kind == "gemini":
            return {"key": id, "error": {"code": {"cancelled": 1}.get(ending, 4), "message": ending}}
        if self.kind == "xai":
            error = {"code": {"cancelled": 1}.get(ending, 4), "message": ending}
            return {"batch_request_id": id, "batch_result": {"error": error}}
        return {"custom_id": id, "response": None, "error": {"code": f"batch_{ending}", "message": ending}}

    # HTTP.

    def handle(self, method, url, headers, body):
        """Return the status, headers and body of the response, or None to close the connection without one."""
        with self.lock:
            path = urlsplit(url).path
            self.requests.append((method, path))
            fault = self.fault(method, path)
            if fault == "refuse":
                return None
            if fault == "html":
                return 200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>busy</html>"
            if isinstance(fault, int):
                return fault, {}, json.dumps({"error": {"message": f"status {fault}"}}).encode()
            for job in self.jobs.values():
                self.settle(job)
            try:
                found = self.route(method, path, parse_qs(urlsplit(url).query), headers, body)
            except Refusal as refusal:
                found = refusal.status, {}, refusal.body
            if fault == "drop":
                return None
            status, extra, document = found
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            return status, {"Content-Type": "application/json", **extra}, data

    def route(self, method, path, query, headers, body):
        return getattr(self, f"route_{'files' if self.kind not in ('anthropic', 'gemini', 'xai') else self.kind}")(
            method, path, query, headers, body
        )

    def route_live(self, body):
        payload = json.loads(body)
        if isinstance(payload.get("input"), list) and is_embedding(payload):
            self.live.update(payload["input"])
            return 200, {}, self.vectors(payload)
        if "requests" in payload:
            texts = [prompt_of(request) for request in payload["requests"]]
            self.live.update(texts)
            return 200, {}, {"embeddings": [{"values": vector_of(text)} for text in texts]}
        prompt = prompt_of(payload)
        self.live[prompt] += 1
        return 200, {}, self.reply(self.answer(prompt), payload)

    def upload(self, headers, body):
        fields, data = parse_form(headers, body)
        if not fields["filename"].endswith(".jsonl"):
            raise Refusal(400, "the name must end in .jsonl")
        return self.store(data, fields)

    def store(self, data, fields):
        id = self.next_id("files/in" if self.kind == "gemini" else "file-")
        self.files[id], self.names[id] = data, fields
        return id

    def read_input(self, id):
        if id not in self.files:
            raise Refusal(404, f"no file {id}")
        lines = self.files[id].split(b"\n")
        assert lines.pop() == b""
        return [json.loads(line) for line in lines]

    def route_files(self, method, path, query, headers, body):
        path = re.sub(r"^(/openai)?(/v1)?", "", path)
        if path in ("/chat/completions", "/responses") or path.endswith("/embeddings"):
            return self.route_live(body)
        if method == "POST" and path in ("/files", "/files/upload"):
            return 200, {}, {"id": self.upload(headers, body), "object": "file", "status": "processed"}
        if method == "DELETE":
            self.files.pop(path.rpartition("/")[2], None)
            return 200, {}, {"deleted": True}
        if path.endswith("/content"):
            id = path.split("/")[-2]
            if id not in self.files:
                raise Refusal(404, "no such file")
            return 200, {"Content-Type": "application/octet-stream"}, self.files[id]
        base = "/batch/jobs" if self.kind == "mistral" else "/batches"
        if path == base and method == "POST":
            asked = json.loads(body)
            file = asked["input_files"][0] if self.kind == "mistral" else asked["input_file_id"]
            lines = self.read_input(file)
            if self.kind == "mistral":
                assert all(set(line) == {"custom_id", "body"} and "model" not in line["body"] for line in lines)
            else:
                assert all(line["url"] == asked["endpoint"] and line["method"] == "POST" for line in lines)
            job = self.make_job([(line["custom_id"], line["body"]) for line in lines], input=file, asked=asked)
            document = self.describe(job)
            return 200, {}, {"job": document, "warning": None} if self.kind == "together" else document
        if path == base:
            return 200, {}, self.page(query)
        job = self.job_at(path[len(base) + 1 :].partition("/")[0])
        if path.endswith("/cancel"):
            job.facts["cancelled"] = True
        return 200, {}, self.describe(job)

    def make_job(self, rows, **facts):
        assert len({id for id, _ in rows}) == len(rows)
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", id) and "stream" not in body for id, body in rows)
        job = Job(
            self,
            self.next_id({"anthropic": "msgbatch_", "gemini": "batches/b"}.get(self.kind, "batch_")),
            rows,
            **facts,
        )
        self.jobs[job.id] = job
        return job

    def job_at(self, id):
        if id not in self.jobs or self.jobs[id].is_deleted:
            raise Refusal(404, f"no job {id}")
        return self.jobs[id]

    def listed(self):
        return [job for job in reversed(list(self.jobs.values())) if self.now >= job.created + self.lag]

    def page(self, query):
        jobs = self.listed()
        if self.kind == "mistral":
            size, number = int(query["page_size"][0]), int(query["page"][0])
            return {"data": [self.describe(job) for job in jobs[size * number : size * (number + 1)]]}
        if "after" in query:
            ids = [job.id for job in jobs]
            jobs = jobs[ids.index(query["after"][0]) + 1 :]
        limit = min(int(query.get("limit", ["100"])[0]), 2)
        if self.kind == "together":
            return [self.describe(job) for job in jobs]
        if self.kind == "groq":
            return {"data": [self.describe(job) for job in jobs]}
        return {"data": [self.describe(job) for job in jobs[:limit]], "has_more": len(jobs) > limit}

    def results_file(self, lines):
        if not lines:
            return None
        id = self.next_id("files/out" if self.kind == "gemini" else "file-out")
        self.files[id] = b"".join(
            line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in self.edit(lines)
        )
        return id

    def describe(self, job):
        if job.state != "running" and "output" not in job.facts:
            job.facts.update(output=self.results_file(job.output), error=self.results_file(job.errors))
        if self.kind == "mistral":
            states = {"completed": "SUCCESS", "expired": "TIMEOUT_EXCEEDED"}
            return {
                "id": job.id,
                "status": states.get(job.state, job.state.upper()),
                "input_files": [job.facts["input"]],
                "created_at": job.created,
                "output_file": job.facts.get("output"),
                "error_file": job.facts.get("error"),
                "errors": [{"message": job.failure, "count": 1}] if job.failure else [],
                "total_requests": len(job.rows),
            }
        state = "in_progress" if job.state == "running" else job.state
        failure = job.failure if isinstance(job.failure, list) else [{"message": job.failure, "line": None}]
        return {
            "id": job.id,
            "object": "batch",
            "status": state.upper() if self.kind == "together" else state,
            "input_file_id": job.facts["input"],
            "created_at": job.created,
            "expires_at": job.created + 86400,
            "output_file_id": job.facts.get("output"),
            "error_file_id": job.facts.get("error") or ({} if self.kind == "groq" else None),
            "errors": {"data": failure} if job.failure else None,
            "request_counts": {"total": len(job.rows), "completed": len(job.output), "failed": len(job.errors)},
        }

    def route_anthropic(self, method, path, query, headers, body):
        if path == "/v1/messages":
            return self.route_live(body)
        base = "/v1/messages/batches"
        if path == base and method == "POST":
            rows = [(each["custom_id"], each["params"]) for each in json.loads(body)["requests"]]
            return 200, {}, self.describe_anthropic(self.make_job(rows))
        if path == base:
            jobs = self.listed()
            return 200, {}, {"data": [self.describe_anthropic(job) for job in jobs], "has_more": False}
        job = self.job_at(path[len(base) + 1 :].partition("/")[0])
        if path.endswith("/cancel"):
            job.facts["cancelled"] = True
        if path.endswith("/results"):
            lines = self.edit([*job.output, *job.errors])
            data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
            return 200, {"Content-Type": "application/x-jsonl"}, data
        return 200, {}, self.describe_anthropic(job)

    def describe_anthropic(self, job):
        ended = job.state != "running"
        counts = {"processing": 0 if ended else len(job.rows), "succeeded": len(job.output)}
        counts.update(errored=len(job.errors), canceled=0, expired=0)
        return {
            "id": job.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
            "created_at": iso(job.created),
            "expires_at": iso(job.created + 86400),
            "cancel_initiated_at": iso(job.created) if job.facts.get("cancelled") else None,
            "archived_at": job.facts.get("archived"),
            "results_url": None,
        }

    def route_gemini(self, method, path, query, headers, body):
        path = re.sub("^(/upload|/download)?/v1beta/", r"\1/", path)
        if path.endswith("batchEmbedContents"):
            return self.route_live(body)
        if path.endswith("Content") and "atch" not in path:
            status, extra, document = self.route_live(body)
            return (
                status,
                {**extra, "Content-Type": "text/event-stream"},
                b"data: " + json.dumps(document).encode() + b"\n\n",
            )
        if path == "/upload/files":
            assert headers["X-Goog-Upload-Command"] == "start"
            self.names["pending"] = json.loads(body)["file"]
            return 200, {"X-Goog-Upload-URL": f"{self.url}/upload/session/1"}, {}
        if path == "/upload/session/1":
            assert headers["X-Goog-Upload-Command"] == "upload, finalize"
            return 200, {}, {"file": {"name": self.store(body, self.names["pending"])}}
        if path.endswith((":batchGenerateContent", ":asyncBatchEmbedContent")):
            batch = json.loads(body)["batch"]
            (name,) = batch["inputConfig"].values()
            lines = self.read_input(name)
            rows = [(line["key"], line["request"]) for line in lines]
            return 200, {}, self.describe_gemini(self.make_job(rows, name=batch["displayName"]))
        if path == "/batches":
            return 200, {}, {"operations": [self.describe_gemini(job) for job in self.listed()]}
        if path.endswith(":download"):
            id = path[1:].partition(":")[0]
            if id not in self.files:
                raise Refusal(404, "no such file")
            return 200, {}, self.files[id]
        if method == "DELETE":
            self.files.pop(path[1:], None)
            return 200, {}, {}
        job = self.job_at(path[1:].partition(":")[0])
        if path.endswith(":cancel"):
            job.facts["cancelled"] = True
            return 200, {}, {}
        return 200, {}, self.describe_gemini(job)

    def describe_gemini(self, job):
        if job.state != "running" and "output" not in job.facts:
            job.facts["output"] = self.results_file([*job.output, *job.errors])
        states = {"completed": "SUCCEEDED"}
        metadata = {
            "displayName": job.facts["name"],
            "state": f"BATCH_STATE_{states.get(job.state, job.state.upper())}",
            "batchStats": {"requestCount": str(len(job.rows)), "successfulRequestCount": str(len(job.output))},
            "createTime": iso(job.created),
        }
        if job.facts.get("output"):
            metadata["output"] = {"responsesFile": job.facts["output"]}
        document = {"name": job.id, "metadata": metadata, "done": job.state != "running"}
        if job.failure:
            document["error"] = {"code": 3, "message": job.failure}
        return document

    def route_xai(self, method, path, query, headers, body):
        path = re.sub("^/v1", "", path)
        if path == "/chat/completions":
            return self.route_live(body)
        if path == "/files":
            return 200, {}, {"id": self.upload(headers, body)}
        if method == "DELETE":
            self.files.pop(path.rpartition("/")[2], None)
            return 200, {}, {}
        if path == "/batches" and method == "POST":
            asked = json.loads(body)
            lines = self.read_input(asked["input_file_id"])
            rows = [(line["custom_id"], line["body"]) for line in lines]
            job = self.make_job(rows, input=asked["input_file_id"], name=asked["name"])
            return 200, {}, self.describe_xai(job)
        if path == "/batches":
            return 200, {}, {"batches": [self.describe_xai(job) for job in self.listed()], "pagination_token": None}
        job = self.job_at(re.split("[/:]", path)[2])
        if path.endswith(":cancel"):
            job.facts["cancelled"] = True
        if path.endswith("/results"):
            lines = [
                json.loads(line) if isinstance(line, bytes) else line for line in self.edit([*job.output, *job.errors])
            ]
            start = int(query.get("pagination_token", ["0"])[0])
            token = str(start + 2) if start + 2 < len(lines) else None
            return 200, {}, {"results": lines[start : start + 2], "pagination_token": token}
        return 200, {}, self.describe_xai(job)

    def describe_xai(self, job):
        total, done = len(job.rows), job.state != "running"
        counts = {"num_requests": total, "num_pending": 0 if done else total, "num_success": len(job.output)}
        missing = total - len(job.output) if done else 0
        return {
            "batch_id": job.id,
            "name": job.facts["name"],
            "input_file_id": job.facts["input"],
            "create_time": iso(job.created)[:10],
            "expire_time": iso(job.created + 86400)[:10],
            "cancel_time": iso(job.created)[:10] if job.facts.get("cancelled") else None,
            "cancel_by_xai_message": job.failure,
            "state": {**counts, "num_error": missing, "num_cancelled": 0},
        }


def iso(seconds):
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


def is_embedding(body):
    """Return whether a body asks for vectors."""
    return "content" in body or (isinstance(body.get("input"), list) and isinstance(body["input"][0], str))


def vector_of(text):
    """Return the vector of a text."""
    return [1.0, float(len(text)), float(sum(text.encode()) % 64)]


def letter_of(body):
    """Return the choice that answers a question about a row with a letter: B for odd rows."""
    is_odd = int(prompt_of(body).partition("row ")[2].partition("\n")[0]) % 2
    shares = (0.2, 0.7) if is_odd else (0.7, 0.2)
    top = [{"token": token, "logprob": math.log(p)} for token, p in zip("AB", shares)]
    content = [{"token": "B" if is_odd else "A", "logprob": -0.1, "top_logprobs": top}]
    message = {"role": "assistant", "content": "B" if is_odd else "A"}
    return {"index": 0, "message": message, "finish_reason": "length", "logprobs": {"content": content}}


def answer_questions(service, *, odd=()):
    """Let a service answer questions; those in `odd` are answered with a word in place of a letter."""
    plain = service.reply

    def reply(text, body):
        prompt = prompt_of(body)
        if not body.get("logprobs"):
            keys = [key for key in ("refund", "anger") if f"- {key}:" in prompt]
            values = {"refund": True, "anger": "furious"}
            return plain(json.dumps({key: values[key] for key in keys}), body)
        if any(word in prompt for word in odd):
            return plain("Well", body)
        return {**plain("", body), "choices": [letter_of(body)]}

    service.reply = reply


def prompt_of(body):
    """Return the last text that a body asks."""
    if "contents" in body:
        return body["contents"][-1]["parts"][-1]["text"]
    if "content" in body:
        return body["content"]["parts"][-1]["text"]
    last = (body.get("messages") or body.get("input"))[-1]
    if isinstance(last, str):
        return last
    content = last["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def parse_form(headers, body):
    """Return the fields of a form, with the name of its file, and the bytes of the file, which comes last."""
    boundary = re.search("boundary=(.*)", headers["Content-Type"])[1].encode()
    *parts, end = body.split(b"--" + boundary)[1:]
    assert end == b"--\r\n"
    fields = {}
    for number, part in enumerate(parts):
        head, _, data = part[2:].partition(b"\r\n\r\n")
        name = re.search(rb'name="(.*?)"', head)[1].decode()
        if b"filename=" in head:
            assert number == len(parts) - 1
            fields["filename"] = re.search(rb'filename="(.*?)"', head)[1].decode()
            return fields, data[:-2]
        fields[name] = data[:-2].decode()
    raise AssertionError("the form has no file")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = self.server.service.handle(self.command, self.path, self.headers, body)
        if found is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, data = found
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        # A body that is shorter than it says is one that was cut.
        self.close_connection = self.close_connection or headers.get("Content-Length", len(data)) != len(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        """Ignore errors of connections: clients are killed on purpose."""


class JobServer:
    """A service in a thread, for one test."""

    def __init__(self, kind):
        self.service = JobService(kind)
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.service = self.service
        self.service.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self.service

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
