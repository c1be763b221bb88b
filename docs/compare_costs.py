"""Print the comparison table of docs/costs.md: the same answers, priced by several packages.

python docs/compare_costs.py      litellm and genai-prices are shown if they are installed; nothing is sent anywhere
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, NamedTuple

from aichatkit import Client


class Case(NamedTuple):
    """An answer and its bill: `dollars` per million tokens, calculated by hand from the vendor's list, plus `fee`."""

    what: str
    name: str
    usage: dict[str, Any]
    dollars: float
    fee: float = 0.0
    fields: dict[str, Any] = {}  # noqa: RUF012 - read only


def chat(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return usage in the format of chat completions."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**counts, **more}


def gemini(prompt: int, answer: int, **more: Any) -> dict[str, Any]:
    """Return usage in the format of Gemini."""
    return {"promptTokenCount": prompt, "candidatesTokenCount": answer, **more}


LONG = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 6000}
CASES = [
    Case("plain", "openai/gpt-6-luna", chat(3000, 400), 3000 * 0.1 + 400 * 0.5),
    Case(
        "cache read",
        "openai/gpt-6-luna",
        chat(9000, 400, prompt_tokens_details={"cached_tokens": 8192}),
        808 * 0.1 + 8192 * 0.01 + 400 * 0.5,
    ),
    Case(
        "cache write",
        "openai/gpt-6-luna",
        chat(9000, 400, prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 8000}),
        1000 * 0.1 + 8000 * 0.125 + 400 * 0.5,
    ),
    Case(
        "cache write for 12 hours",
        "openai-responses/gpt-6-luna",
        {
            **{"input_tokens": 9000, "output_tokens": 400, "total_tokens": 9400},
            "input_tokens_details": {
                **{"cached_tokens": 0, "cache_write_tokens": 8000},
                "cache_write_tokens_details": {"ttl_30m_tokens": 0, "ttl_12h_tokens": 8000},
            },
        },
        1000 * 0.1 + 8000 * 0.25 + 400 * 0.5,
    ),
    Case("long prompt", "openai/gpt-6-luna", chat(280_000, 400), 280_000 * 0.2 + 400 * 0.75),
    Case("flex tier", "openai/gpt-6-luna", chat(3000, 400), 3000 * 0.05 + 400 * 0.25, fields={"service_tier": "flex"}),
    Case(
        "cache write for an hour",
        "anthropic/claude-sonnet-5-5",
        {"input_tokens": 50, "cache_creation_input_tokens": 6000, "cache_creation": LONG, "output_tokens": 300},
        50 * 2 + 6000 * 4 + 300 * 10,
    ),
    Case(
        "tier by total input",
        "anthropic/claude-haiku-5-5",
        {"input_tokens": 2000, "cache_read_input_tokens": 99_000, "output_tokens": 300},
        2000 * 0.5 + 99_000 * 0.05 + 300 * 2.5,
    ),
    Case(
        "regional inference",
        "anthropic/claude-sonnet-5-5",
        {"input_tokens": 2000, "output_tokens": 300, "inference_geo": "us"},
        1.1 * (2000 * 2 + 300 * 10),
    ),
    Case(
        "thinking",
        "gemini/gemini-3.5-flash-lite",
        gemini(2000, 150, thoughtsTokenCount=700, totalTokenCount=2850),
        2000 * 0.3 + 850 * 2.5,
    ),
    Case(
        "tool-use prompt",
        "gemini/gemini-3.5-flash-lite",
        gemini(2000, 150, toolUsePromptTokenCount=2500, totalTokenCount=4650),
        4500 * 0.3 + 150 * 2.5,
    ),
    Case(
        "flex tier",
        "gemini/gemini-3.5-flash-lite",
        gemini(2000, 150, serviceTier="flex", totalTokenCount=2150),
        2000 * 0.15 + 150 * 1.25,
    ),
    Case(
        "reasoning outside output",
        "xai/grok-4.3",
        {**chat(40, 12, completion_tokens_details={"reasoning_tokens": 210}), "total_tokens": 262},
        40 * 1.25 + 222 * 2.5,
    ),
    Case(
        "reasoning within output",
        "xai/grok-4.3",
        chat(40, 222, completion_tokens_details={"reasoning_tokens": 210}),
        40 * 1.25 + 222 * 2.5,
    ),
    Case("top-level `cached_tokens`", "moonshot/kimi-k3", chat(9000, 400, cached_tokens=8000), 3000 + 2400 + 6000),
    Case("cost reported by service", "openrouter/openai/gpt-6-luna", chat(3000, 400, cost=0.0007), 700),
    Case(
        "billed units",
        "cohere/command-a-03-2025",
        {
            "billed_units": {"input_tokens": 40, "output_tokens": 30},
            "tokens": {"input_tokens": 560, "output_tokens": 33},
        },
        40 * 2.5 + 30 * 10,
    ),
    Case("long prompt", "dashscope/qwen-plus", chat(260_000, 400), 260_000 * 1.2 + 400 * 3.6),
    Case(
        "two web searches",
        "anthropic/claude-sonnet-5-5",
        {"input_tokens": 2000, "output_tokens": 300, "server_tool_use": {"web_search_requests": 2}},
        2000 * 2 + 300 * 10,
        fee=0.02,
    ),
    Case("unknown model", "openai/gpt-6.2-sol", chat(3000, 400), float("nan")),
]
#: Our provider name -> its name in the other package.
LITELLM = {"openai-responses": "openai", "cohere": "cohere_chat"}
GENAI = {"openai-responses": "openai", "gemini": "google", "xai": "x-ai", "moonshot": "moonshotai"}


def document(case: Case) -> Any:
    """Return the service's response body."""
    service, _, model = case.name.partition("/")
    if service == "anthropic":
        content = [{"type": "text", "text": "Hi"}]
        head = {"id": "m", "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}
        return {**head, "model": model, "usage": case.usage}
    if service == "gemini":
        candidate = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "usageMetadata": case.usage, "modelVersion": model}
    if service == "cohere":
        message = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
        return {"id": "c", "finish_reason": "COMPLETE", "message": message, "usage": case.usage}
    if service == "openai-responses":
        output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]
        head = {"id": "r", "object": "response", "status": "completed", "output": output}
        return {**head, "model": model, "usage": case.usage, **case.fields}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return {"id": "c", "choices": [choice], "model": model, "usage": case.usage, **case.fields}


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """Serve one response body on localhost."""
    body = json.dumps(answer).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def with_aichatkit(case: Case) -> float | None:
    """Send a prompt to a server that returns the answer, and read the cost."""
    service = case.name.partition("/")[0]
    options: dict[str, Any] = {"model": case.name, "api_key": {service: "any"}}
    with serving(document(case)) as url, Client(**options, base_url={service: url}) as client:
        return client.ask("Hi").cost


def with_litellm(case: Case) -> float | None:
    """Price the usage as parsed by litellm's own transformations."""
    import litellm
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig
    from litellm.responses.utils import ResponseAPILoggingUtils

    service, _, model = case.name.partition("/")
    usage: Any
    if service == "anthropic":
        usage = AnthropicConfig().calculate_usage(usage_object=case.usage, reasoning_content=None)
    elif service == "gemini":
        usage = VertexGeminiConfig._calculate_usage({"usageMetadata": case.usage})
    elif service == "openai-responses":
        usage = ResponseAPILoggingUtils._transform_response_api_usage_to_chat_usage(case.usage)
    elif service == "cohere":
        counts = case.usage["tokens"]
        usage = litellm.Usage(prompt_tokens=counts["input_tokens"], completion_tokens=counts["output_tokens"])
    else:
        usage = litellm.Usage(**case.usage)
    answer = litellm.ModelResponse(model=model, usage=usage, choices=[{"message": {"content": "Hi"}}])
    tier = case.fields.get("service_tier") or case.usage.get("serviceTier")
    provider = LITELLM.get(service, service)
    return litellm.completion_cost(answer, model=model, custom_llm_provider=provider, service_tier=tier)


def with_genai_prices(case: Case) -> float | None:
    """Price the answer as shown in the documentation of genai-prices."""
    import genai_prices

    service, _, model = case.name.partition("/")
    flavor = {"openai-responses": "responses", "anthropic": "default", "gemini": "default", "cohere": "default"}
    provider = GENAI.get(service, service)
    flavor_name = flavor.get(service, "chat")
    extracted = genai_prices.extract_usage(document(case), provider_id=provider, api_flavor=flavor_name)
    context = {"service_tier": tier} if (tier := case.fields.get("service_tier")) else None
    price = genai_prices.calc_price(extracted.usage, model, provider_id=provider, price_context=context)
    return float(price.total_price)


READERS: dict[str, Callable[[Case], float | None]] = {
    "aichatkit": with_aichatkit,
    "litellm": with_litellm,
    "genai-prices": with_genai_prices,
}


def cell(read: Callable[[Case], float | None], case: Case) -> str:
    """Return the cost according to a package, in bold if it differs from the bill."""
    try:
        cost = read(case)
    except Exception:
        # A package that cannot price an answer has no figure.
        if read is with_aichatkit:
            raise
        cost = None
    bill = case.dollars / 1e6 + case.fee
    if cost is None:
        return "none" if bill != bill else "**none**"
    return f"{cost:.7f}" if abs(cost - bill) < 1e-9 else f"**{cost:.7f}**"


def main() -> None:
    """Print the table as Markdown."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    readers = {name: read for name, read in READERS.items() if name == "aichatkit" or is_installed(name)}
    write(
        ["answer", "model", "bill", *(name if name == "aichatkit" else f"{name} {version(name)}" for name in readers)]
    )
    write(["---"] * (len(readers) + 3))
    for case in CASES:
        bill = case.dollars / 1e6 + case.fee
        figure = "not known" if bill != bill else f"{bill:.7f}"
        write([case.what, f"`{case.name}`", figure, *(cell(read, case) for read in readers.values())])


def is_installed(name: str) -> bool:
    """Return whether a package is installed."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def write(cells: list[str]) -> None:
    """Print a row."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
