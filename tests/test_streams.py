from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
from answer_doubles import answered

from aichatkit.chunks import Finish
from aichatkit.errors import ServerError, StreamInterruptedError
from aichatkit.streams import Stream

END = Finish("stop", last=True)


@pytest.fixture
def answer():
    return answered("a", "b", END)


def test_a_stream_is_an_iterator_of_its_text(answer):
    stream = Stream(answer)
    assert next(stream) == "a"
    assert stream.text == "a"
    assert list(stream) == ["b"]
    assert (stream.text, stream.reply.text) == ("ab", "ab")


def test_reading_returns_the_reply(answer):
    stream = Stream(answer)
    assert next(stream) == "a"
    assert stream.read() is stream.reply
    assert stream.read() is stream.reply


def test_reading_what_was_closed_tells_so(answer):
    stream = Stream(answer)
    next(stream)
    stream.close()
    with pytest.raises(StreamInterruptedError, match="closed") as caught:
        stream.read()
    assert caught.value.partial == "a"


def test_a_stream_says_who_answers(answer):
    stream = Stream(answer)
    assert (stream.provider, stream.model, stream.attempts) == ("scripted", "asked-1", answer.attempts)


def test_its_repr_tells_how_far_it_is(answer):
    stream = Stream(answer)
    assert repr(stream) == "<Stream open, 0 characters from scripted/asked-1>"
    stream.read()
    assert repr(stream) == "<Stream finished, 2 characters from scripted/asked-1>"
    left = Stream(answered("a", "b"))
    next(left)
    left.close()
    assert repr(left) == "<Stream closed, 1 characters from scripted/asked-1>"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("leave", ["break", "exception", "return"])
def test_leaving_the_loop_closes_it(answer, leave, begun):
    if begun:
        answer.start()
    stream = Stream(answer)

    def read():
        for _ in stream:
            if leave == "exception":
                raise LookupError
            if leave == "return":
                return
            break

    if leave == "exception":
        with pytest.raises(LookupError):
            read()
    else:
        read()
    assert "close" in answer.fake.done


def test_leaving_with_closes_it(answer):
    with Stream(answer) as stream:
        assert next(stream) == "a"
        assert answer.fake.done == []
    assert answer.fake.done == ["close"]


def test_dropping_it_closes_it_without_the_collector(answer):
    fake = answer.fake
    stream = Stream(answer)
    gone = weakref.ref(stream)
    collecting = gc.isenabled()
    gc.disable()
    try:
        del stream
        assert gone() is None
        assert "close" in fake.done
    finally:
        if collecting:
            gc.enable()


def test_one_that_was_never_made_is_dropped_quietly():
    stream = Stream.__new__(Stream)
    del stream
    gc.collect()


def test_who_waits_for_the_end_is_told_the_reply_and_never_of_a_cut(answer):
    told = []
    stream = Stream(answer)
    stream.when_complete(told.append)
    stream.read()
    assert told == [stream.reply]
    cut = Stream(answered("a", ending=ServerError("boom")))
    cut.when_complete(told.append)
    with pytest.raises(ServerError):
        cut.read()
    assert told == [stream.reply]


def test_cancelling_reaches_the_answer(answer):
    Stream(answer).cancel()
    assert "cancel" in answer.fake.done


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_one_that_is_copied_says_what_to_copy_and_reads_on(answer, copied):
    stream = Stream(answer)
    next(stream)
    with pytest.raises(TypeError, match=r"take stream\.text or stream\.reply"):
        copied(stream)
    assert stream.read().text == "ab"
