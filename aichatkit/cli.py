"""The command line: a question in, the answer streamed to standard output, everything else to standard error.

Exit codes: 0 answered, with `map` every row, 1 an error of the call, 2 wrong usage, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any

from aichatkit._version import __version__
from aichatkit.client import Client
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.sandbox import serve
from aichatkit.tables import check_path
from aichatkit.targets import chosen_by_environment
from aichatkit.waits import Wait

__all__ = ["main"]

_EPILOG = """\
The prompt may also come from a pipe; with both, the pipe is the document and the argument the question.
Without -m the model is AICHATKIT_MODEL, else the first service whose key is set, else the offline ELIZA.
"aichatkit map in.csv --prompt 'Translate: {text}' --out out.csv" asks for every row of a CSV or JSON lines file.
"aichatkit sandbox --port 8000" serves the chat services' protocols on this machine, for tests.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _forgive_encodings()
    try:
        if words[:1] == ["sandbox"]:
            return _serve(_sandbox_parser().parse_args(words[1:]))
        if words[:1] == ["map"]:
            return _map(_map_parser().parse_args(words[1:]))
        return _ask(_parser().parse_args(words))
    except KeyboardInterrupt:
        _tell("")
        return 130
    except BrokenPipeError:
        # Whoever read our output has left.
        _drop_output()
        return 1
    except ConfigurationError as error:
        _tell(f"aichatkit: {error}")
        return 2
    except ChatError as error:
        _tell(f"aichatkit: {error}")
        return 1
    except OSError as error:
        _drop_output()
        _tell(f"aichatkit: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aichatkit",
        description="Ask a chat service and print its answer as it comes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", nargs="*", help="the question; several words need no quotes")
    parser.add_argument("-m", "--model", action="append", help="provider/model or provider; repeat it for fallbacks")
    parser.add_argument("-s", "--system", help="instructions that go before the question")
    parser.add_argument("--no-stream", action="store_true", help="print the answer when it is complete")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and for silence")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")
    parser.add_argument("--version", action="version", version=f"aichatkit {__version__}")
    return parser


def _map_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aichatkit map",
        description="Ask for every row of a CSV or JSON lines file, and write it with the answers beside.",
        epilog="Ctrl-C finishes what is under way and writes what is there; a second one stops at once.",
    )
    parser.add_argument("input", help="a .csv or .jsonl file")
    parser.add_argument("-p", "--prompt", help="such as 'Translate: {text}', where text is a column")
    parser.add_argument("-o", "--out", required=True, help="a .csv or .jsonl file, replaced when all is done")
    parser.add_argument("-m", "--model", action="append", help="provider/model or provider; repeat it for fallbacks")
    parser.add_argument("-s", "--system", help="instructions that go before every prompt")
    parser.add_argument("-w", "--workers", type=int, default=8, help="rows under way at once (default 8)")
    parser.add_argument(
        "--resume", nargs="?", const="", metavar="JOURNAL", help="ask only what is missing (default: OUT.sqlite)"
    )
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="do not spend more, by the price table")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and for silence")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")
    return parser


def _sandbox_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aichatkit sandbox", description="Serve the chat services' protocols on this machine until Ctrl-C."
    )
    parser.add_argument("--port", type=_port, default=0, help="default: a free one")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="pause between pieces of text")
    parser.add_argument("--seed", type=int, default=0, help="for other answers")
    parser.add_argument("--fault", help="a fault for every answer, such as rate-limit or cut,after=3")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _ask(args: argparse.Namespace) -> int:
    prompt = _prompt(args.prompt)
    if not prompt:
        _parser().print_usage(sys.stderr)
        _tell("aichatkit: nothing was asked; give a question as an argument or through a pipe")
        return 2
    with Client(model=_model(args.model), timeout=args.timeout, retry=args.retry, hooks={"wait": _tell_wait}) as client:
        options = {"system": args.system} if args.system else {}
        if args.no_stream:
            _write(client.ask(prompt, **options).text + "\n")
        else:
            _stream(client, prompt, options)
    return 0


def _stream(client: Client, prompt: str, options: dict[str, Any]) -> None:
    with client.stream(prompt, **options) as stream:
        try:
            for chunk in stream:
                _write(chunk)
        finally:
            if stream.text and not stream.text.endswith("\n"):
                _write("\n")


def _map(args: argparse.Namespace) -> int:
    out = check_path(args.out)
    resume = None if args.resume is None else args.resume or f"{out}.sqlite"
    options = {"system": args.system} if args.system else {}
    with Client(model=_model(args.model), timeout=args.timeout, retry=args.retry) as client:
        results = client.map(
            args.input, args.prompt, workers=args.workers, resume=resume, budget=args.budget, **options
        )
        results.save(out)
        failed = results.failed
    _tell(f"aichatkit: {len(results) - len(failed)} of {len(results)} rows answered, written to {out}")
    if results.stopped is not None:
        _tell(f"aichatkit: {results.stopped}")
    elif failed:
        _tell(f"aichatkit: the first that failed: {failed[0].error}")
    return 130 if results.interrupted else 1 if failed else 0


def _serve(args: argparse.Namespace) -> int:
    try:
        serve(
            args.port,
            host=args.host,
            delay=args.delay,
            seed=args.seed,
            fault=args.fault,
            announce=lambda url: _write(
                f"The sandbox answers at {url} (OpenAI's protocol at {url}/v1); stop it with Ctrl-C.\n"
            ),
        )
    except (OSError, ValueError) as error:
        _tell(f"aichatkit: {error}")
        return 1
    return 0


def _prompt(words: Sequence[str]) -> str:
    question, document = " ".join(words).strip(), _piped().strip()
    return "\n\n".join(part for part in (question, document) if part)


def _piped() -> str:
    """Return what a pipe or a redirected file holds; anything else, such as a terminal, is left alone."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return ""
    return sys.stdin.read() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""


def _model(given: list[str] | None) -> Any:
    if given:
        return given[0] if len(given) == 1 else given
    if chosen_by_environment({}):
        return None
    _tell("aichatkit: no key and no model is set, so this is the offline ELIZA; set a key or use -m")
    return "offline"


def _forgive_encodings() -> None:
    """Show what a terminal or a pipe cannot hold as a question mark; an answer may hold any character."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _tell_wait(wait: Wait) -> None:
    _tell(f"aichatkit: {wait}")


def _write(text: str) -> None:
    if sys.stdout is None:  # whoever started this closed it
        raise OSError("standard output is closed")
    sys.stdout.write(text)
    sys.stdout.flush()


def _drop_output() -> None:
    """Send what is left to nowhere: a second failure while the interpreter flushes would only make noise."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
