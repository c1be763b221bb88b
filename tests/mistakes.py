"""Mistakes that somebody may make one day, each with the tests that should turn red: see `seed_mistakes.py`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MISTAKES", "Mistake"]


class Mistake(NamedTuple):
    """One change to one file of the package: `old`, which stands there once, becomes `new`."""

    what: str
    file: str
    old: str
    new: str
    tests: str  #: files below `tests/` that should see it, with blanks between them


MISTAKES = (
    # Prompt -> messages.
    Mistake(
        "the system's words come last",
        "messages.py",
        'messages.insert(0, Message("system", system))',
        'messages.append(Message("system", system))',
        "test_messages.py",
    ),
    Mistake(
        "a prompt of blanks is sent",
        "messages.py",
        "if not content.strip():",
        "if not content:",
        "test_messages.py",
    ),
    Mistake(
        "the speakers of the older form are swapped",
        "messages.py",
        '{"you": "user", "bot": "assistant"}',
        '{"you": "assistant", "bot": "user"}',
        "test_messages.py",
    ),
    # Bytes -> lines -> events.
    Mistake(
        "the CR at the end of a block is forgotten",
        "lines.py",
        '.replace(b"\\r", b"\\n"), ends_in_cr',
        '.replace(b"\\r", b"\\n"), False',
        "test_lines.py test_events.py",
    ),
    Mistake(
        "a byte order mark is kept",
        "lines.py",
        "head[len(_BOM) :] if head.startswith(_BOM) else head",
        "head",
        "test_lines.py test_events.py",
    ),
    Mistake(
        "the last line needs its end",
        "lines.py",
        "    if pending:\n",
        "    if pending.endswith(mark):\n",
        "test_lines.py test_events.py",
    ),
    Mistake(
        "a line may grow without bound",
        "lines.py",
        "if len(pending) >= max_line + len(mark):",
        "if len(pending) < 0:",
        "test_lines.py test_events.py",
    ),
    Mistake(
        "a backslash at the end of a block escapes nothing",
        "events.py",
        "self._at = max(0, self._at - len(block))",
        "self._at = 0",
        "test_events.py",
    ),
    Mistake(
        "a record that is cut off counts as broken JSON",
        "events.py",
        'raise _CutRecordError("the answer ended in the middle of a record") from error',
        "raise",
        "test_events.py",
    ),
    Mistake(
        "half a character at the end is dropped",
        "events.py",
        'if piece := decoder.decode(b"", True):',
        'if piece := "":',
        "test_events.py",
    ),
    # Request -> response -> bytes.
    Mistake(
        "the deadline is not put on the socket",
        "transport/responses.py",
        "self._set_timeout(self._deadline.bound(self._read_timeout))",
        "self._set_timeout(self._read_timeout)",
        "test_reading.py test_transport.py faults/test_deadlines.py",
    ),
    Mistake(
        "compressed answers are asked for",
        "transport/connections.py",
        'session.headers["Accept-Encoding"] = "identity"',
        'session.headers["Accept-Encoding"] = "gzip"',
        "test_transport.py",
    ),
    Mistake(
        "a forked child uses the connections of its parent",
        "transport/connections.py",
        "if self.own:\n            self._session = None",
        "if self.own:\n            self._pid = os.getpid()",
        "test_forks.py",
    ),
    Mistake(
        "redirects are followed",
        "transport/__init__.py",
        "return session.send(prepared, timeout=timeout, allow_redirects=False, **settings)",
        "return session.send(prepared, timeout=timeout, allow_redirects=True, **settings)",
        "test_transport.py",
    ),
    Mistake(
        "cookies of one call go with the next",
        "transport/__init__.py",
        'del original.msg["Set-Cookie"]',
        "return",
        "test_transport.py",
    ),
    Mistake(
        "a password from .netrc is sent",
        "transport/__init__.py",
        "auth=Key(*self._auth, before=_callable_auth(session.auth)),",
        "auth=Key(*self._auth, before=session.auth) if self._auth[0] else session.auth,",
        "test_secrecy.py",
    ),
    Mistake(
        "an error holds the key a service echoed",
        "transport/__init__.py",
        "setattr(error, name, hide(secret, told))",
        "setattr(error, name, told)",
        "test_transport.py test_secrecy.py",
    ),
    Mistake(
        "the connection of a refusal stays open",
        "transport/responses.py",
        '        self.close()\n        return b"".join(parts)[:_ERROR_BYTES]',
        '        return b"".join(parts)[:_ERROR_BYTES]',
        "test_transport.py test_reading.py faults/test_connections.py",
    ),
    Mistake(
        "a body shorter than its length is whole",
        "transport/responses.py",
        'bool(getattr(inner, "length", 0))',
        "not inner",
        "test_reading.py faults/test_streams_cut.py",
    ),
    Mistake(
        "a compressed body that is cut off is whole",
        "transport/reading.py",
        'raise EOFError("compressed body ended early")',
        "return",
        "test_reading.py",
    ),
    Mistake(
        "a chunked body that is cut off is whole",
        "transport/framing.py",
        'if not block:\n                raise http.client.IncompleteRead(b"")',
        'if not block:\n                return b""',
        "test_framing.py faults/test_streams_cut.py",
    ),
    Mistake(
        "what follows a body is taken for the next answer",
        "transport/framing.py",
        "self.reusable = stop + 1 == len(self._held)",
        "self.reusable = True",
        "test_framing.py",
    ),
    Mistake(
        "the CA file is read for every connection",
        "transport/connections.py",
        "_contexts[location] = context",
        "context.check_hostname = True",
        "test_transport.py",
    ),
    Mistake(
        "certificates are not checked",
        "transport/connections.py",
        '"CERT_REQUIRED", None, None',
        '"CERT_NONE", None, None',
        "test_transport.py faults/test_connect.py",
    ),
    Mistake(
        "a picture is fetched from a private address",
        "transport/downloads.py",
        "if not is_public(self.sock.getpeername()[0]):",
        "if not self.sock:",
        "test_downloads.py",
    ),
    Mistake(
        "a picture is fetched over plain http",
        "transport/downloads.py",
        'urlsplit(url).scheme != "https":',
        'urlsplit(url).scheme == "ftp":',
        "test_downloads.py",
    ),
    # Exceptions of the network -> our own.
    Mistake(
        "a connection that broke was never used",
        "transport/translate.py",
        'the connection broke before an answer came ({_reason(causes)})", maybe_processed=True',
        'the connection broke before an answer came ({_reason(causes)})", maybe_processed=False',
        "test_transport.py faults/test_connect.py",
    ),
    Mistake(
        "a request without an answer was never processed",
        "transport/translate.py",
        'phase="head",\n            maybe_processed=True,',
        'phase="head",\n            maybe_processed=False,',
        "test_transport.py faults/test_connect.py",
    ),
    # What a refusal means, and how long to wait.
    Mistake(
        "the delay a service asks for is ignored",
        "verdicts.py",
        "retry_after=facts.asked if hint is None else hint,",
        "retry_after=None,",
        "test_classify.py",
    ),
    Mistake(
        "a provider's own rules are not asked",
        "verdicts.py",
        "for rule in rules:",
        "for rule in ():",
        "test_classify.py",
    ),
    Mistake(
        "the last row of the table wins",
        "verdicts.py",
        "for row in ROWS:",
        "for row in reversed(ROWS):",
        "test_classify.py",
    ),
    Mistake(
        "an echoed prompt decides what the refusal means",
        "verdicts.py",
        'if row.where == "claim" and "named" in facts.marks:',
        'if row.where == "claims" and "named" in facts.marks:',
        "test_classify.py",
    ),
    Mistake(
        "the quota of a day passes for a rate limit",
        "refusals.py",
        r'"text", r"\blimit: 0\b|perday|free-models-per-day", QuotaExceededError',
        r'"text", r"\blimit: 0\b|perday|free-models-per-day", RateLimitError',
        "test_classify.py",
    ),
    Mistake(
        "milliseconds are taken for seconds",
        "delays.py",
        "return exact / 1000",
        "return exact",
        "test_delays.py",
    ),
    Mistake(
        "nan is a delay",
        "delays.py",
        "and 0 <= value < 1e9:",
        "and not (value < 0 or value >= 1e9):",
        "test_delays.py",
    ),
    Mistake(
        "the window that is free first counts",
        "delays.py",
        "return max((wait for wait in waits if wait is not None), default=None)",
        "return min((wait for wait in waits if wait is not None), default=None)",
        "test_delays.py",
    ),
    Mistake(
        "a quota is retried",
        "errors.py",
        'so the next provider is asked."""\n\n    action = "next"',
        'so the next provider is asked."""\n\n    action = "retry"',
        "test_errors.py test_calls.py faults/test_refusals.py",
    ),
    Mistake(
        "a pickled error loses its fields",
        "errors.py",
        "return type(self), (self.message,), state",
        "return type(self), (self.message,)",
        "test_errors.py",
    ),
    # When to try again.
    Mistake(
        "what may have been processed is repeated like anything else",
        "retries.py",
        "if tries.ambiguous > tries.policy.ambiguous:",
        "if tries.ambiguous < 0:",
        "test_retries.py",
    ),
    Mistake(
        "a wait of any length is kept",
        "retries.py",
        "elif (error.retry_after or 0.0) > tries.policy.max_wait:",
        "elif (error.retry_after or 0.0) < 0:",
        "test_retries.py",
    ),
    Mistake(
        "the jitter goes below the hint",
        "retries.py",
        "return error.retry_after + draw",
        "return error.retry_after - draw",
        "test_retries.py",
    ),
    Mistake(
        "tenacity's own error comes out",
        "retries.py",
        "reraise=True",
        "reraise=False",
        "test_retries.py",
    ),
    Mistake(
        "fresh tokens are fetched again and again",
        "retries.py",
        "again, tries.refreshed = not tries.refreshed, True",
        "again, tries.refreshed = True, True",
        "test_retries.py",
    ),
    Mistake(
        "a wait may pass the deadline",
        "retries.py",
        "elif left is not None and seconds >= left:",
        "elif left is not None and seconds < 0:",
        "test_retries.py",
    ),
    # Events -> answer.
    Mistake(
        "an answer needs no end marker",
        "answers.py",
        "elif not seen.ended and self.provider.requires_end and not self.closed:",
        "elif not self.provider.name:",
        "test_answers.py",
    ),
    Mistake(
        "the text that came is not on the error",
        "answers.py",
        "error.partial = self.text",
        'error.partial = ""',
        "test_answers.py",
    ),
    Mistake(
        "an answer that broke off in the middle is asked for again",
        "answers.py",
        'error.action = "stop"',
        'error.action = "retry"',
        "test_answers.py",
    ),
    Mistake(
        "a limit notice is an answer",
        "answers.py",
        "if held and classify.limit_notice(held, ended=True):",
        "if not provider.name:",
        "test_answers.py",
    ),
    Mistake(
        "a web page is an answer",
        "answers.py",
        "if classify.is_html(kind, first[:_START]):",
        "if not self.provider.name:",
        "test_answers.py",
    ),
    Mistake(
        "nothing is an answer",
        "answers.py",
        "if not self._parts and not seen.calls:",
        "if not name:",
        "test_answers.py",
    ),
    Mistake(
        "the connection is thrown away after each answer",
        "answers.py",
        "self._response.finish()",
        "self._response.close()",
        "test_transport.py faults/test_connections.py",
    ),
    # One call, its providers and keys.
    Mistake(
        "providers are asked from last to first",
        "targets.py",
        "return list(dict.fromkeys(found))",
        "return list(dict.fromkeys(reversed(found)))",
        "test_targets.py test_calls.py",
    ),
    Mistake(
        "what is cooling is asked all the same",
        "calls.py",
        "if len(call.targets) > 1 and _cooling(target, setup):",
        "if len(call.targets) < 1:",
        "test_health.py test_calls.py faults/test_failover.py",
    ),
    Mistake(
        "a wrong request goes to every provider",
        "calls.py",
        'if failure.action == "stop":',
        'if failure.action == "stopped":',
        "faults/test_failover.py",
    ),
    Mistake(
        "the attempts are not on the error",
        "calls.py",
        "failure.attempts = list(attempts)",
        "failure.attempts = []",
        "test_calls.py",
    ),
    Mistake(
        "one key goes to many providers",
        "targets.py",
        "if len(set(names)) > 1:",
        "if len(set(names)) > 100:",
        "test_targets.py",
    ),
    Mistake(
        "a key may hold a line end",
        "targets.py",
        'if not key.isascii() or not key.isprintable() or " " in key:',
        "if not key.isascii():",
        "test_targets.py",
    ),
    Mistake(
        "after a cooldown all calls come at once",
        "health.py",
        "state.probe_ends = now + _LONGEST_PROBE",
        "state.probe_ends = now",
        "test_health.py",
    ),
    # How fast to ask.
    Mistake(
        "what was asked is forgotten at once",
        "pacing.py",
        "self._taken[0].moment <= now - self._seconds:",
        "self._taken[0].moment <= now:",
        "test_pacing.py",
    ),
    Mistake(
        "the retry budget has no bottom",
        "pacing.py",
        "if self._left < price:",
        "if price < 0:",
        "test_pacing.py test_retries.py",
    ),
    # Streams, conversations, tools.
    Mistake(
        "a loop that is left leaves the stream open",
        "streams.py",
        "        finally:\n            self.close()",
        "        finally:\n            self.text",
        "test_streams.py",
    ),
    Mistake(
        "a stream that is dropped stays open",
        "streams.py",
        "if answer is not None:\n            answer.close()",
        "if answer is not None:\n            del answer",
        "test_streams.py",
    ),
    Mistake(
        "a turn enters the history before its answer",
        "chats.py",
        "stream.when_complete(partial(self._keep, turns))",
        "self._history += turns",
        "test_chats.py",
    ),
    Mistake(
        "a tool is run unless it is forbidden in so many words",
        "tools.py",
        "if self._approve is not None and not self._approve(call):",
        "if self._approve is not None and self._approve(call) is False:",
        "test_tools.py test_rounds.py",
    ),
    Mistake(
        "tools get one round more than allowed",
        "rounds.py",
        "if not self._left:",
        "if self._left < 0:",
        "test_rounds.py",
    ),
    # The client and the command line.
    Mistake(
        "a message names a path of this machine",
        "files.py",
        'if not isinstance(address, str) or not re.match(r"data:|https?://", address, re.IGNORECASE):',
        "if not isinstance(address, str):",
        "test_files.py",
    ),
    Mistake(
        "what the service had in its cache is paid twice",
        "prices.py",
        "(usage.input_tokens - cached) * price.input",
        "usage.input_tokens * price.input",
        "test_prices.py",
    ),
    Mistake(
        "a misspelt option is ignored",
        "params.py",
        "if name not in PARAMS:",
        "if not name:",
        "test_params.py test_client.py",
    ),
    Mistake(
        "a pickled client carries its keys",
        "client.py",
        'if name not in ("_closing", "_keys", "_connections")',
        'if name not in ("_closing", "_connections")',
        "test_client.py test_forks.py",
    ),
    Mistake(
        "a failed call exits with 0",
        "cli/__init__.py",
        "    except errors.ChatError as error:\n        tell(error)\n        return 1",
        "    except errors.ChatError as error:\n        tell(error)\n        return 0",
        "test_cli.py",
    ),
    # Providers.
    Mistake(
        "aichats: the blanks before the text stay",
        "providers/aichats.py",
        "trims_start = True",
        "trims_start = False",
        "providers/test_aichats.py",
    ),
    Mistake(
        "aichatonline: the token goes into another header",
        "providers/aichatonline.py",
        '{"UniqueId": self.grab_token(http)}',
        '{"Unique-Id": self.grab_token(http)}',
        "providers/test_aichatonline.py",
    ),
    Mistake(
        "aichat: a refusal passes for an answer",
        "providers/aichat.py",
        'if not record.get("response") or classify.find_error(record) is not None:',
        "if classify.find_error(record) is not None:",
        "providers/test_aichat.py",
    ),
    Mistake(
        "aichatfree: the parts of the signature are swapped",
        "providers/aichatfree.py",
        '{time}:{text}:{secret}"',
        '{text}:{time}:{secret}"',
        "providers/test_aichatfree.py",
    ),
    Mistake(
        "chatgptt: a stale nonce is not fetched anew",
        "providers/chatgptt.py",
        'r"link you followed has expired|^-1$", AuthenticationError, "refresh"',
        'r"link you followed has expired|^-1$", AuthenticationError, "next"',
        "providers/test_chatgptt.py",
    ),
    Mistake(
        "openai: [DONE] is no end",
        "providers/openai_compatible.py",
        "return Finish(last=True)",
        "return None",
        "providers/test_openai.py",
    ),
    Mistake(
        "openai: tokens are counted on the wrong side",
        "providers/completions.py",
        'input_tokens=usage.get("prompt_tokens"),',
        'input_tokens=usage.get("completion_tokens"),',
        "providers/test_openai.py",
    ),
    Mistake(
        "anthropic: a reason to stop is the end",
        "providers/anthropic.py",
        'yield Finish(_reason(record["delta"]), ends=False)',
        'yield Finish(_reason(record["delta"]))',
        "providers/test_anthropic.py",
    ),
    Mistake(
        "gemini: an answer needs no finish reason",
        "providers/gemini.py",
        "requires_end = True",
        "requires_end = False",
        "providers/test_gemini.py providers/test_contract.py",
    ),
    Mistake(
        "ollama: an answer needs no line that says done",
        "providers/ollama.py",
        "requires_end = True",
        "requires_end = False",
        "providers/test_ollama.py providers/test_contract.py",
    ),
    # Many rows: prompts, journal, budget, results, cache.
    Mistake(
        "a brace in the data is filled in as well",
        "templates.py",
        'return "".join(text if name is None else str(fields[name]) for text, name in self._parts)',
        'return "".join(text if name is None else str(fields[name]) for text, name in self._parts).format_map(fields)',
        "test_templates.py",
    ),
    Mistake(
        "a missing column is told by the row, after others were asked",
        "rows.py",
        "    if form is not None:\n        form.check(columns)\n    else:",
        "    if form is None:",
        "test_rows.py",
    ),
    Mistake(
        "results stand in the order in which they came",
        "shelves.py",
        "self._kept[row.position] = row, outcome",
        "self._kept[len(self._kept)] = row, outcome",
        "test_results.py test_batch.py",
    ),
    Mistake(
        "the newest results are not read back",
        "shelves.py",
        "found = self._fresh.get(position)",
        "found = None if self._fresh else self._fresh.get(position)",
        "test_results.py",
    ),
    Mistake(
        "an answer that comes alone is told before it is on disk",
        "batch.py",
        "if self._journal is not None and landed:",
        "if self._journal is not None and landed[1:]:",
        "test_batch.py",
    ),
    Mistake(
        "an answer is not waited for until it is on disk",
        "journal.py",
        "        if records:\n            with self._database.transaction() as connection:",
        "        if records:\n            with self._database.transaction(durable=False) as connection:",
        "test_journal.py",
    ),
    Mistake(
        "a parameter does not make another question",
        "fingerprints.py",
        "list(call.messages), options.params, options.extra",
        "list(call.messages), options.extra",
        "test_batch.py test_fingerprints.py",
    ),
    Mistake(
        "a row that another process asks is asked here too",
        "journal.py",
        "return owner != self.owner and until > now and not _is_dead(owner)",
        "return False",
        "test_journal.py test_batch.py",
    ),
    Mistake(
        "a claim holds although its process is dead",
        "journal.py",
        "until > now and not _is_dead(owner)",
        "until > now",
        "test_journal.py",
    ),
    Mistake(
        "equal rows have one key",
        "journal.py",
        "counts[base] = counts.get(base, -1) + 1",
        "counts[base] = 0",
        "test_journal.py test_batch.py",
    ),
    Mistake(
        "rows that failed stay claimed",
        "batch.py",
        "self._journal.free(task.key for task, outcome in landed if isinstance(outcome, ChatError))",
        "self._journal.free(())",
        "test_batch.py",
    ),
    Mistake(
        "a budget is looked at after it was passed",
        "budgets.py",
        "whole = held.plus(self._spent)",
        "whole = self._spent",
        "test_budgets.py test_batch.py",
    ),
    Mistake(
        "what an answer cost is not counted",
        "budgets.py",
        "self._spent = self._spent.plus(spent)",
        "self._spent = self._spent",
        "test_budgets.py test_batch.py",
    ),
    Mistake(
        "a used-up quota does not end the run",
        "batch.py",
        "_ENDING = (QuotaExceededError, AuthenticationError,",
        "_ENDING = (AuthenticationError,",
        "test_batch.py",
    ),
    Mistake(
        "a pause holds for one worker only",
        "asking.py",
        "    if call.patient:\n        _await_pauses",
        "    if False:\n        _await_pauses",
        "test_batch.py",
    ),
    Mistake(
        "an answer to chance is taken from the cache",
        "cache.py",
        'or (params.get("temperature") and params.get("seed") is None))',
        ")",
        "test_cache.py",
    ),
    Mistake(
        "a file that is being written stands where the whole one was",
        "tables.py",
        '    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")\n'
        "    try:\n"
        "        try:\n"
        '            with unfinished.open("w", encoding="utf-8", newline="") as file:\n'
        "                yield file\n"
        "                file.flush()\n"
        "                os.fsync(file.fileno())\n"
        "            os.replace(unfinished, path)\n"
        "            return\n"
        "        finally:\n"
        "            with suppress(OSError):\n"
        "                unfinished.unlink()\n",
        "    try:\n"
        '        with path.open("w", encoding="utf-8", newline="") as file:\n'
        "            yield file\n"
        "        return\n",
        "test_results.py",
    ),
    Mistake(
        "all rows are drawn at once",
        "intake.py",
        "rows = list(islice(self._source.rows, self._chunk))",
        "rows = list(islice(self._source.rows, 100_000))",
        "test_batch.py",
    ),
)
