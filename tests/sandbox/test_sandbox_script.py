from __future__ import annotations

import pytest
from sandbox_talk import CHAT, talk, text_of

from aichatkit.sandbox import Sandbox

PATH = "/v1/chat/completions"
STREAM = {**CHAT, "stream": True}
ELIZA = "How long have you been sad?"


def statuses(box, count, path=PATH):
    return [talk(box, path, CHAT).status for _ in range(count)]


def test_scripted_faults_meet_the_next_requests_in_order(box):
    box.script("quota", None, "overloaded")
    assert statuses(box, 4) == [429, 200, 503, 200]


def test_a_scripted_fault_waits_for_the_kind_of_request_it_is_for(box):
    box.script("server-error,on=models", "quota")
    assert statuses(box, 1) == [200]
    assert talk(box, "/v1/models", method="GET").status == 500
    assert statuses(box, 1) == [429]


def test_a_normal_answer_in_the_script_is_one_to_a_chat_request(box):
    box.script(None, "quota")
    talk(box, "/v1/models", method="GET")
    assert statuses(box, 2) == [200, 429]


def test_a_fault_in_the_url_meets_every_request_to_it(box):
    assert statuses(box, 2, f"/fault/quota{PATH}") == [429, 429]
    assert statuses(box, 1) == [200]


def test_a_fault_in_the_url_can_end_after_some_times(box):
    assert statuses(box, 3, f"/fault/overloaded,times=2{PATH}") == [503, 503, 200]


def test_a_fault_for_chats_does_not_meet_other_requests(box):
    assert talk(box, "/fault/quota/v1/models", method="GET").status == 200
    assert talk(box, "/fault/quota,on=any/v1/models", method="GET").status == 429


def test_several_faults_in_the_url_meet_together(box):
    answer = talk(box, f"/fault/crlf/fault/split,size=5{PATH}", STREAM)
    assert b"\r\n\r\n" in answer.body
    assert max(len(chunk) for chunk in answer.chunks) == 5


def test_an_option_may_be_percent_encoded(box):
    answer = talk(box, f"/fault/redirect%2Cto%3Dhttp%3A%2F%2Felsewhere.test%2F{PATH}", CHAT)
    assert answer.headers["location"] == "http://elsewhere.test/"


def test_the_path_is_recorded_without_the_fault(box):
    talk(box, f"/fault/quota{PATH}", CHAT)
    assert (box.requests[0].prefix, box.requests[0].path) == ("/fault/quota", PATH)


def test_a_url_that_is_only_a_fault_is_the_root(box):
    assert talk(box, "/fault/quota", method="GET").status == 200
    assert box.requests[0].path == "/"


@pytest.mark.parametrize("text", ["no-such", "cut,before=1", "cut,after=x", "cut,after", "cut,times=x"])
def test_a_fault_that_does_not_exist_is_refused(box, text):
    with pytest.raises(ValueError, match=r"no-such|cut|invalid literal"):
        box.script(text)
    answer = talk(box, f"/fault/{text}{PATH}", CHAT)
    assert answer.status == 400
    assert answer.json()["error"]["message"]


def test_standing_faults_meet_every_request():
    with Sandbox(faults=["quota"]) as box:
        assert statuses(box, 2) == [429, 429]


def test_faults_are_listed_with_what_they_do_and_their_options():
    listed = Sandbox.faults()
    assert listed["cut"].options == {"after": 2}
    assert all(name == fault.name and fault.description.endswith(".") for name, fault in listed.items())


def test_a_said_text_is_answered_until_it_is_taken_back(box):
    box.says("Paris.\n\nOf course 🌞")
    assert [text_of(talk(box, PATH, STREAM).body) for _ in range(2)] == ["Paris.\n\nOf course 🌞"] * 2
    box.says(None)
    assert text_of(talk(box, PATH, STREAM).body) == ELIZA


def test_a_list_of_texts_is_one_for_each_answer(box):
    box.says(["one", "two"])
    box.script("quota")
    talk(box, PATH, STREAM)
    assert [text_of(talk(box, PATH, STREAM).body) for _ in range(3)] == ["one", "two", ELIZA]


def test_a_path_that_no_wire_has_is_not_found(box):
    answer = talk(box, "/nowhere", CHAT)
    assert answer.status == 404
    assert "/nowhere" in answer.json()["error"]["message"]


def test_a_method_that_the_path_does_not_take_is_named(box):
    answer = talk(box, PATH, method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
