"""Start real model servers on loopback: llama.cpp with a tiny random model, and the LiteLLM proxy before others."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import peer_servers
import pytest
import requests
from peer_servers import HOST, Peer

TINY_MODEL = Path(__file__).parent / "tiny_model.py"
# LiteLLM compiles itself at its first start.
LITELLM_SECONDS = 120
# The proxy must reach nothing but this machine, whatever it would like to look up.
NOWHERE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True)
class Llama(Peer):
    """A llama-server and its API key."""

    key: str

    def busy_slots(self):
        """Return the number of answers being generated."""
        slots = requests.get(f"{self.url}/slots", headers={"Authorization": f"Bearer {self.key}"}, timeout=10).json()
        return sum(slot["is_processing"] for slot in slots)

    def wait_idle(self, seconds=5.0):
        """Wait until no answer is being generated; return False after `seconds`."""
        deadline = time.monotonic() + seconds
        while busy := self.busy_slots():
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return not busy


@contextlib.contextmanager
def run_llama(*options, key="sk-llama"):
    """llama.cpp's own server: OpenAI chat and Responses below /v1, Anthropic; two answers at once, 256 tokens each."""
    if not peer_servers.PROGRAMS["AICHATKIT_LLAMA"]:
        pytest.skip("AICHATKIT_LLAMA does not name llama-server, which is not asked for even where peers are required")
    program = peer_servers.find_by_variable("AICHATKIT_LLAMA", "llama-server")
    python = peer_servers.find_by_variable("AICHATKIT_SDKS", "a Python with gguf")
    with peer_servers.folder() as home:
        model, port = home / "tiny.gguf", peer_servers.free_port()
        subprocess.run([python, str(TINY_MODEL), str(model)], check=True, timeout=60)
        command = [program, "--model", model, "--alias", "tiny", "--host", HOST, "--port", port, "--api-key", key]
        limits = ("--ctx-size", "512", "--parallel", "2", "--threads", "1", "--offline", "--slots")
        with peer_servers.running([*command, *limits, *options], home / "log", port):
            peer = Llama(f"http://{HOST}:{port}", home / "log", key)
            wait_healthy(peer)
            yield peer


@contextlib.contextmanager
def run_litellm(models, *, key="sk-master"):
    """The LiteLLM proxy: OpenAI below /v1, Anthropic, Gemini below /v1beta; `models` maps names to parameters.

    It tries nothing again and asks nobody for prices; each model needs an `api_base` on this machine.
    """
    program = peer_servers.find_by_variable("AICHATKIT_LITELLM", "the litellm program (PyPI package litellm[proxy])")
    listed = [{"model_name": name, "litellm_params": parameters} for name, parameters in models.items()]
    assert all(parameters["api_base"].startswith(f"http://{HOST}:") for parameters in models.values())
    checks = ["enforce_model_rate_limits"]
    settings = {
        "model_list": listed,
        "general_settings": {"master_key": key},
        "litellm_settings": {"telemetry": False, "num_retries": 0, "request_timeout": 20},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True, "optional_pre_call_checks": checks},
    }
    with peer_servers.folder() as home:
        port, file = peer_servers.free_port(), home / "settings.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(settings))
        command = [program, "--config", file, "--host", HOST, "--port", port]
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", **NOWHERE}
        with peer_servers.running(command, home / "log", port, environment, patience=LITELLM_SECONDS):
            yield Peer(f"http://{HOST}:{port}", home / "log")


def wait_healthy(peer):
    deadline = time.monotonic() + peer_servers.START_SECONDS
    while requests.get(f"{peer.url}/health", timeout=10).status_code != 200:
        if time.monotonic() > deadline:
            pytest.fail(f"the model is not loaded:\n{peer.log_text()[-2000:]}")
        time.sleep(0.05)
