from __future__ import annotations

import pytest
from answer_doubles import FakeResponse, FakeTransport, Scripted, answered

from aichatkit.call.answer import Answer
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.own_prices import parse_prices
from aichatkit.chunks import Answered, Citation, Finish, Notice, Picture, Reasoning, ToolCallPart, Unread, Usage
from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ChatError,
    ContentFilteredError,
    EmptyAnswerError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamStalledError,
    TimedOutError,
)
from aichatkit.images import ImageResponse
from aichatkit.reply import Attempt

END = Finish("stop", last=True)


def error_of(answer, kind: type[ChatError]) -> ChatError:
    with pytest.raises(kind) as caught:
        list(answer)
    assert type(caught.value) is kind
    assert caught.value.__context__ is None
    return caught.value


def test_texts_come_out_one_by_one_and_empty_ones_do_not():
    answer = answered("a", "", None, ["b", "", Usage()], "c", END)
    assert [next(answer), answer.text, next(answer), next(answer)] == ["a", "a", "b", "c"]
    assert list(answer) == []
    assert answer.text == "abc"


def test_sequences_of_any_kind_and_depth_are_taken_apart():
    answer = answered(("a", Usage(input_tokens=1)), [["b", ""], (Citation("https://a.example"), "c")], (END,))
    assert list(answer) == ["a", "b", "c"]
    assert (answer.reply.usage.input_tokens, len(answer.reply.citations), answer.reply.complete) == (1, 1, True)


def test_a_reply_holds_all_that_came_beside_the_text():
    answer = answered(
        Answered("answered-2"),
        Reasoning("hm"),
        "Hi",
        [Usage(input_tokens=3), Citation("https://a.example"), Usage(output_tokens=5)],
        Picture(url="https://b.example/x.png"),
        ToolCallPart(0, "id", "look", '{"a": 1}'),
        Finish("length"),
    )
    list(answer)
    reply = answer.reply
    assert (reply.provider, reply.model, reply.elapsed) == ("scripted", "answered-2", 2.5)
    assert (reply.reasoning, reply.finish_reason, reply.complete) == ("hm", "length", True)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (3, 5, 8)
    assert reply.citations == [Citation("https://a.example")]
    assert reply.images == ["https://b.example/x.png"]
    assert reply.tool_calls[0].arguments == {"a": 1}
    assert reply.headers["X-Id"] == "1"
    assert reply.attempts is answer.attempts


def test_the_price_is_that_of_the_model_that_answered_else_of_the_one_that_was_asked():
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    for model, cost in (("dear", 9.0), ("unknown", 2.0)):
        provider = Scripted(Answered(model), "Hi", usage)
        catalog = Catalog([parse_prices({"scripted/dear": (9, 1), "scripted/asked": (2, 1)})])
        response = FakeResponse([b"0", b"1", b"2"])
        answer = Answer(provider, "asked", response, http=FakeTransport(), catalog=catalog)
        list(answer)
        assert answer.reply.cost == cost


def test_after_the_last_marker_the_end_is_looked_for_and_nothing_more_is_read():
    answer = answered("a", END, "never")
    assert list(answer) == ["a"]
    assert answer.fake.done == ["finish", "close"]


def test_a_marker_that_is_not_the_last_lets_more_follow():
    answer = answered("a", Finish("stop"), "b")
    assert list(answer) == ["a", "b"]
    # Text behind a marker shows that it came too early.
    assert answer.reply.complete is None
    assert answer.fake.done == ["close"]


@pytest.mark.parametrize("chunk", ["b", Reasoning("b"), ToolCallPart(0, "a", "f")])
def test_a_marker_that_came_too_early_hides_no_cut(chunk):
    error = error_of(answered("a", Finish("stop"), chunk, requires_end=True), StreamInterruptedError)
    assert error.partial == ("ab" if chunk == "b" else "a")
    again = answered("a", Finish("stop"), chunk, "", None, Finish("stop"), requires_end=True)
    list(again)
    assert again.reply.complete is True


@pytest.mark.parametrize("failure", [StreamInterruptedError("reset"), TimedOutError("silent")])
@pytest.mark.parametrize("marker", [Finish("stop"), Finish("length")])
def test_a_connection_that_breaks_after_the_marker_costs_nothing(failure, marker):
    answer = answered("a", marker, ending=failure, requires_end=True)
    assert list(answer) == ["a"]
    assert (answer.reply.complete, answer.reply.finish_reason) == (True, marker.reason)


def test_a_cancelled_answer_is_no_answer_even_after_its_marker():
    answer = answered("a", Finish("stop"), ending=StreamInterruptedError("cancelled"), requires_end=True)
    assert next(answer) == "a"
    answer.cancel()
    error_of(answer, StreamInterruptedError)


def test_a_picture_that_cannot_be_read_is_the_error_of_an_answer_without_text():
    broken = BadResponseError("no picture")
    assert error_of(answered(Unread(broken), END), BadResponseError) is broken
    assert list(answered(Unread(broken), "a", END)) == ["a"]


def test_without_a_marker_completeness_is_unknown():
    answer = answered("a")
    list(answer)
    assert answer.reply.complete is None


@pytest.mark.parametrize("marker", [(), (Finish("stop", ends=False),)])
def test_a_marker_that_must_come_and_does_not_is_a_cut(marker):
    error = error_of(answered("a", *marker, requires_end=True), StreamInterruptedError)
    assert (error.partial, error.action, error.maybe_processed) == ("a", "stop", True)


def test_a_cut_before_any_text_may_be_tried_again():
    error = error_of(answered(Usage(), requires_end=True), StreamInterruptedError)
    assert (error.partial, error.action) == ("", "retry")


def test_starting_reads_no_more_than_the_first_text():
    answer = answered(Usage(), "a", "b", END)
    answer.start()
    assert answer.text == ""
    assert list(answer.fake._blocks) == [b"2", b"3"]
    assert next(answer) == "a"
    assert answer.text == "a"


def test_starting_an_answer_without_text_reads_it_to_its_end():
    answer = answered(ToolCallPart(0, "id", "look", "{}"), END)
    answer.start()
    assert answer.reply.tool_calls[0].name == "look"
    assert list(answer) == []


def test_an_error_at_the_start_is_raised_by_the_start():
    answer = answered(requires_end=True)
    with pytest.raises(StreamInterruptedError):
        answer.start()
    assert answer.fake.done == ["close"]


@pytest.mark.parametrize(
    ("script", "kind", "action", "told"),
    [
        ([END], EmptyAnswerError, "retry", "no text"),
        ([Finish("length", last=True)], EmptyAnswerError, "stop", "the length limit was reached before any text"),
        ([Reasoning("Hm."), Finish("length", last=True)], EmptyAnswerError, "stop", "lower reasoning_effort"),
        ([Usage(reasoning_tokens=4000), Finish("length", last=True)], EmptyAnswerError, "stop", "limit (4,000 tokens)"),
        ([Finish("content_filter", last=True)], ContentFilteredError, "stop", "filter"),
        ([Finish("error", last=True)], ServerError, "retry", "failed"),
        ([Notice("Insufficient quota")], QuotaExceededError, "next", "quota"),
        ([Notice(""), Notice("overloaded"), Notice("")], ServerError, "retry", "overloaded"),
    ],
)
def test_an_answer_without_text_is_an_error(script, kind, action, told):
    with pytest.raises(ChatError) as caught:
        list(answered(*script))
    assert isinstance(caught.value, (kind, OverloadedError))
    assert (caught.value.action, caught.value.partial) == (action, "")
    assert told in str(caught.value).lower()


def test_a_failed_answer_keeps_its_text():
    error = error_of(answered("a", Finish("error", last=True)), ServerError)
    assert (error.partial, error.action, error.maybe_processed) == ("a", "stop", True)


def test_an_answer_that_was_filtered_in_the_middle_ends_with_its_reason():
    answer = answered("a", Finish("content_filter", last=True))
    list(answer)
    assert (answer.text, answer.reply.finish_reason) == ("a", "content_filter")


@pytest.mark.parametrize("chunk", [3, object(), {"a": 1}, 4.5, [1]])
def test_a_hook_that_returns_something_else_is_a_bad_response(chunk):
    error = error_of(answered("a", chunk), BadResponseError)
    assert (error.partial, error.status) == ("a", 200)
    assert "TypeError" in str(error)


@pytest.mark.parametrize("wrong", [ValueError, KeyError, IndexError, TypeError, AttributeError])
def test_what_a_hook_raises_over_bad_data_is_a_bad_response_that_shows_it(wrong):
    class Odd(Scripted):
        def parse_event(self, event):
            raise wrong("inside")

    answer = Answer(Odd(), "m", FakeResponse([b"the data"]), http=FakeTransport())
    error = error_of(answer, BadResponseError)
    assert "'the data'" in str(error)
    assert (error.provider, error.model, error.action) == ("scripted", "m", "next")


def test_a_programming_error_in_a_hook_is_not_hidden():
    class Odd(Scripted):
        def parse_event(self, event):
            raise ZeroDivisionError

    response = FakeResponse([b"0"])
    with pytest.raises(ZeroDivisionError):
        list(Answer(Odd(), "m", response, http=FakeTransport()))
    assert response.done == ["close"]


def test_an_answer_over_its_bound_is_refused():
    error = error_of(answered("aaa", "bbb", "ccc", max_answer=6), BadResponseError)
    assert error.partial == "aaabbbccc"
    assert answered("aaa", "bbb", max_answer=6).__next__() == "aaa"


def test_exactly_the_bound_is_allowed():
    assert list(answered("aaa", "bbb", max_answer=6)) == ["aaa", "bbb"]


def test_silence_after_text_is_a_stall_and_before_it_a_timeout():
    silent = TimedOutError("silent", phase="read", maybe_processed=True)
    stalled = error_of(answered("a", ending=silent), StreamStalledError)
    assert stalled.maybe_processed
    assert (stalled.partial, stalled.action, stalled.provider, stalled.model) == ("a", "stop", "scripted", "asked-1")
    assert error_of(answered(ending=TimedOutError("silent")), TimedOutError).action == "retry"


def test_an_error_is_told_with_its_provider_and_cleaned_of_keys():
    answer = answered("a", ending=ServerError("boom", status=503))
    error = error_of(answer, ServerError)
    assert (str(error), error.args, error.status) == ("scripted: boom", ("scripted: boom",), 503)
    assert answer.http.scrubbed == [error]
    assert answer.fake.done == ["close"]


def test_an_error_names_its_own_provider_and_model_if_it_does():
    failure = ServerError("scripted: boom", provider="behind", model="other")
    error = error_of(answered(ending=failure), ServerError)
    assert (error.provider, error.model, str(error)) == ("behind", "other", "scripted: boom")


def test_the_try_that_broke_off_is_told_as_failed():
    answer = answered("a", ending=ServerError("boom"))
    first = Attempt("other", "m", error=ServerError("before"))
    answer.attempts.extend([first, Attempt("scripted", "asked-1", elapsed=2.0)])
    error = error_of(answer, ServerError)
    assert error.attempts == [first, Attempt("scripted", "asked-1", error=error, elapsed=2.0)]


def test_the_records_are_kept_as_they_came_when_asked_for():
    class Named(Scripted):
        def parse_event(self, event):
            return "a"

    answer = Answer(Named(), "m", FakeResponse([b'{"x": 1}', b"no json"]), http=FakeTransport(), keep_raw=True)
    list(answer)
    assert answer.reply.raw == [{"x": 1}, "no json"]
    plain = answered("a")
    list(plain)
    assert plain.reply.raw == []


# Notices and leading blanks.


def test_text_that_is_the_start_of_no_notice_is_handed_out_at_once():
    answer = answered("Hello", "never", checks_notices=True)
    answer.start()
    assert list(answer.fake._blocks) == [b"1"]


def test_text_that_may_be_a_notice_is_held_until_that_is_known():
    answer = answered("The request", " limit", " of a function", " is x", checks_notices=True)
    assert list(answer) == ["The request limit of a function", " is x"]


def test_a_notice_is_an_error_that_says_it():
    notice = "The request limit for today has been reached."
    error = error_of(answered("The request", notice[11:], checks_notices=True), RateLimitError)
    assert (error.action, error.status, error.partial) == ("next", 200, "")
    assert notice in str(error)


def test_the_start_of_a_notice_that_ends_there_is_an_answer():
    assert list(answered("The request", checks_notices=True)) == ["The request"]


def test_blanks_alone_are_no_answer():
    error_of(answered("\n", " ", checks_notices=True), EmptyAnswerError)


def test_blanks_before_the_text_are_left_out_where_they_mean_nothing():
    assert list(answered("\n\n", " ", "  Hi", " you", trims_start=True)) == ["Hi", " you"]
    assert list(answered("\n\n", " Hi", checks_notices=True)) == ["\n\n Hi"]


def test_a_picture_is_not_trimmed():
    texts = list(answered(Picture(url="https://a.example/x.png"), trims_start=True))
    assert [type(text) for text in texts] == [ImageResponse]


# Pictures.


def test_a_picture_is_a_text_that_can_be_fetched():
    answer = answered(Picture(url="https://a.example/x.gif"))
    picture = next(answer)
    assert (str(picture), picture.images) == ("![a cat](https://a.example/x.gif)", ["https://a.example/x.gif"])
    assert picture.bytes() == b"GIF89ahttps://a.example/x.gif"


def test_a_picture_that_is_gone_soon_is_fetched_at_once():
    picture = next(answered(Picture(url="https://a.example/x.gif", fetch=True)))
    assert picture.urls == ["https://a.example/x.gif"]
    assert picture.images[0].startswith("data:image/gif;base64,")


def test_a_picture_of_data_is_taken_as_it_is():
    answer = answered(Picture(data="data:image/gif;base64,R0lGODlh"))
    picture = next(answer)
    assert (picture.images, picture.urls) == (["data:image/gif;base64,R0lGODlh"], [])


# Pages.


def test_a_page_is_never_an_answer():
    page = [b"<!DOCTYPE html><title>Just a moment...</title>", b"more"]
    answer = Answer(Scripted(), "m", FakeResponse(page), http=FakeTransport())
    assert error_of(answer, BlockedError).action == "next"
    response = FakeResponse([b"<p>Hello</p>"], kind="text/html; charset=utf-8")
    error = error_of(Answer(Scripted(), "m", response, http=FakeTransport()), BadResponseError)
    assert (error.status, error.model) == (200, "m")


# Closing.


def test_who_waits_for_the_end_is_told_once_with_the_reply():
    answer, told, left = answered("a", END), [], []
    answer.when_complete(told.append)
    answer.when_closed(left.append)
    list(answer)
    answer.close()
    assert told == left == [answer.reply]
    answer.when_complete(told.append)
    assert told == [answer.reply] * 2


def test_who_waits_for_the_end_is_told_of_a_close_without_a_reply():
    answer, told, left = answered("a", END), [], []
    answer.when_complete(told.append)
    answer.when_closed(left.append)
    answer.close()
    assert (told, left) == ([], [None])
    assert list(answer) == []


def test_who_waits_for_a_failure_is_told_the_error():
    answer, failed = answered("a", ending=ServerError("boom")), []
    answer.when_failed(failed.append)
    error = error_of(answer, ServerError)
    assert failed == [error]


def test_closing_in_the_middle_ends_the_iteration_without_an_error():
    answer = answered("a", "b", requires_end=True)
    assert next(answer) == "a"
    answer.close()
    assert list(answer) == []
    assert answer.reply is None
    error = answer.unfinished()
    assert (error.partial, error.provider, error.model) == ("a", "scripted", "asked-1")


def test_closing_while_the_last_block_is_read_makes_no_reply():
    class Closing(FakeResponse):
        def read_block(self):
            block = super().read_block()
            if not block:
                answer.close()
            return block

    answer = Answer(Scripted("a"), "m", Closing([b"0"]), http=FakeTransport())
    assert list(answer) == ["a"]
    assert answer.reply is None


def test_cancelling_reaches_the_response():
    answer = answered("a")
    answer.cancel()
    assert answer.fake.done == ["cancel"]


def test_closing_again_after_an_interrupt_frees_the_connection():
    class Interrupted(FakeResponse):
        def close(self):
            super().close()
            if len(self.done) == 1:
                raise KeyboardInterrupt

    response = Interrupted([b"0"])
    answer = Answer(Scripted("a"), "m", response, http=FakeTransport())
    released = []
    answer.when_closed(released.append)
    with pytest.raises(KeyboardInterrupt):
        answer.close()
    answer.close()
    assert (response.done, released) == (["close", "close"], [None])
