"""The decisions of `litellm`, a client of many services that decide."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm


def connect(url, key, retries):
    return {"url": url, "api_key": key, "max_retries": retries}


def decide(client, model, base, text, questions):
    """Answer questions in the System One form, or in OpenAI's if they are a list."""
    options = {"model": model, "api_base": client["url"] + base, "api_key": client["api_key"], "questions": questions}
    call, name = (litellm.decisions, "input") if isinstance(questions, list) else (litellm.systemone, "state")
    decided = call(**options, **{name: text}).model_dump()
    return {"answers": decided["answers"], "tokens": decided["usage"]["input_tokens"]}
