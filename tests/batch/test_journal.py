"""The journal: an answer that was written stays, and a row is asked by one process at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from aichatkit.batch import journal
from aichatkit.batch.journal import CLAIMED_ELSEWHERE, Journal
from aichatkit.errors import ChatError, JournalError
from aichatkit.reply import Reply
from aichatkit.storage.records import encode
from aichatkit.storage.sqlite import Database

BASE = bytes(32)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.sqlite"


@pytest.fixture
def opened(path):
    """Open journals that are closed at the end."""
    made = []

    def opened(**options):
        made.append(Journal(path, **options))
        return made[-1]

    yield opened
    for book in made:
        book.close()


def answer(text):
    return Reply(text, "openai", "m")


def pretend_elsewhere(path, owner):
    """Make another process the owner of the claims."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE claims SET owner = ?", (owner,))
    connection.close()


def test_equal_rows_have_keys_of_their_own(opened):
    keys = opened().assign_keys([BASE, b"x" * 32, BASE])
    assert len(set(keys)) == 3


def test_the_same_rows_have_the_same_keys_in_the_next_run(opened):
    assert opened().assign_keys([BASE, BASE]) == opened().assign_keys([BASE, BASE])


def test_a_row_is_asked_until_its_answer_is_written(opened):
    first = opened()
    assert first.claim([b"k"]) == [None]
    assert first.claim([b"k"]) == [None]
    first.write([(b"k", answer("Paris."))])
    assert first.claim([b"k"]) == [answer("Paris.")]


def test_an_answer_is_there_for_the_next_run(opened):
    first = opened()
    first.claim([b"k"])
    first.write([(b"k", answer("Paris."))])
    first.close()
    assert opened().claim([b"k", b"l"]) == [answer("Paris."), None]


def test_what_is_written_can_be_read_by_others_at_once(opened, path):
    opened().write([(b"k", answer("Paris."))])
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT COUNT(*) FROM answers").fetchone() == (1,)
    other.close()


def test_two_journals_share_the_rows(opened):
    first, second = opened(), opened()
    assert first.claim([b"a"]) == [None]
    assert second.claim([b"a", b"b"]) == [CLAIMED_ELSEWHERE, None]
    first.write([(b"a", answer("A"))])
    assert second.claim([b"a"]) == [answer("A")]


def test_a_row_that_was_given_back_is_free(opened):
    first, second = opened(), opened()
    first.claim([b"a"])
    first.release([b"a"])
    assert second.claim([b"a"]) == [None]


def test_closing_gives_every_row_back(opened):
    first, second = opened(), opened()
    first.claim([b"a"])
    first.close()
    assert second.claim([b"a"]) == [None]


def test_the_first_answer_stays(opened):
    first, second = opened(), opened()
    first.write([(b"a", answer("one"))])
    second.write([(b"a", answer("two"))])
    assert first.claim([b"a"]) == [answer("one")]


@pytest.mark.parametrize(
    ("owner", "is_claimed"),
    [
        ("elsewhere:1:5:abcd", True),
        (f"{journal.platform.node()}:{os.getpid()}:5:abcd", False),
        (f"{journal.platform.node()}:4194303:5:abcd", False),
        (f"{journal.platform.node()}:1:never:abcd", False),
        (f"{journal.platform.node()}:1::abcd", True),
    ],
    ids=["another-machine", "number-used-again", "no-such-process", "another-start", "unknown-start"],
)
def test_a_claim_ends_with_its_process_where_that_can_be_known(opened, path, owner, is_claimed):
    first = opened()
    first.claim([b"a"])
    pretend_elsewhere(path, owner)
    assert (opened().claim([b"a"]) == [CLAIMED_ELSEWHERE]) is is_claimed


def test_a_claim_of_another_machine_ends_with_its_lease(opened, path):
    clock = Clock()
    opened(clock=clock).claim([b"a"])
    pretend_elsewhere(path, "elsewhere:1:5:abcd")
    other = opened(clock=clock)
    clock.now += 59
    assert other.claim([b"a"]) == [CLAIMED_ELSEWHERE]
    clock.now += 2
    assert other.claim([b"a"]) == [None]


@pytest.mark.parametrize("apart", [-7200.0, 61.0, 7200.0])
def test_a_claim_of_a_living_process_of_this_machine_holds_whatever_the_clocks_say(opened, apart):
    first_clock, second_clock = Clock(), Clock()
    second_clock.now += apart
    opened(clock=first_clock).claim([b"a"])
    assert opened(clock=second_clock).claim([b"a"]) == [CLAIMED_ELSEWHERE]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the state of processes is read from /proc")
def test_a_claim_of_another_living_process_holds_and_ends_with_it_though_nobody_waits_for_it(opened, path):
    clock = Clock()
    opened(clock=clock).claim([b"a"])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pretend_elsewhere(
            path, f"{journal.platform.node()}:{process.pid}:{journal._start_time(process.pid)}:{'ab' * 4}"
        )
        clock.now += 7200
        assert opened(clock=clock).claim([b"a"]) == [CLAIMED_ELSEWHERE]
        process.kill()
        # Not `wait`, which would remove the process that has ended.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        clock.now -= 7200
        assert opened(clock=clock).claim([b"a"]) == [None]


@pytest.mark.parametrize("owner", ["nonsense", "", f"{journal.platform.node()}:pid:5:abcd", b"\xe9"])
def test_a_claim_of_an_owner_that_cannot_be_read_ends_with_its_lease_or_is_told(opened, path, owner):
    clock = Clock()
    opened(clock=clock).claim([b"a"])
    pretend_elsewhere(path, owner)
    other = opened(clock=clock)
    if isinstance(owner, bytes):
        with pytest.raises(JournalError, match="it is damaged"):
            other.claim([b"a"])
        return
    assert other.claim([b"a"]) == [CLAIMED_ELSEWHERE]
    clock.now += 61
    assert other.claim([b"a"]) == [None]


def test_what_others_hold_stays_theirs_when_rows_are_given_back(opened):
    first, second, third = opened(), opened(), opened()
    first.claim([b"a"])
    second.claim([b"b"])
    first.release([b"a", b"b"])
    assert third.claim([b"a", b"b"]) == [None, CLAIMED_ELSEWHERE]
    first.write([(b"c", answer("C")), (b"b", answer("B"))])
    with second._database.reading() as connection:
        owners = connection.execute("SELECT owner FROM claims WHERE key = ?", (b"b",)).fetchall()
    assert owners == [(second.owner,)]


def test_a_claim_is_renewed_while_its_process_works(opened, path):
    clock = Clock()
    first = opened(lease=0.03, clock=clock)
    first.claim([b"a"])
    clock.now += 500

    def until():
        with sqlite3.connect(path) as connection:
            value = connection.execute("SELECT until FROM claims").fetchone()[0]
        connection.close()
        return value

    end = time.monotonic() + 5
    while until() < 1500 and time.monotonic() < end:
        time.sleep(0.01)
    assert until() == 1500.03


def test_a_claim_that_cannot_be_renewed_ends_nothing(opened, path, monkeypatch, caplog):
    first = opened(lease=0.03)
    first.claim([b"b"])
    failed = threading.Event()

    class Broken:
        def transaction(self, *, durable):
            failed.set()
            raise JournalError("full")

    database = first._database
    monkeypatch.setattr(first, "_database", Broken())
    assert failed.wait(5)
    monkeypatch.setattr(first, "_database", database)
    assert first.claim([b"a"]) == [None]
    first.close()
    assert "were not renewed" in caplog.text


def damage(path):
    path.write_bytes(b"This is no database at all, but long enough to be one." * 50)


def be_a_folder(path):
    path.mkdir()


def be_of_another(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "it is not a database, or damaged; name another file, or move it away"),
        (be_a_folder, "cannot be opened"),
        (be_of_another, "database of another program"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_and_left_as_it_is(path, spoil, message):
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=message) as caught:
        Journal(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ChatError)
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.parametrize(
    "record",
    [
        "'nonsense SECRET'",
        "x'1b5b33316dff'",
        "CAST(x'1b5b33316dff534543524554' AS TEXT)",
        "5",
        '\'{"reply": {"SECRET": 1}}\'',
        '\'{"reply": {"text": "x", "usage": {"SECRET": 1}}}\'',
        "'" + encode(ChatError("SECRET")) + "'",
    ],
)
def test_a_record_that_is_no_answer_is_told_without_what_it_holds(opened, path, record):
    first = opened()
    with sqlite3.connect(path) as connection:
        connection.execute(f"INSERT INTO answers VALUES (?, {record})", (b"k",))
    connection.close()
    with pytest.raises(JournalError, match="damaged; move it away or delete it") as caught:
        first.claim([b"k"])
    told = f"{caught.value} {caught.value.reason} {caught.value.__cause__}"
    assert "SECRET" not in told
    assert "decode" not in told
    assert told.isprintable()


@pytest.mark.skipif(os.name != "posix", reason="rights are a matter of POSIX")
@pytest.mark.parametrize("as_link", [False, True])
def test_a_journal_is_for_its_owner_only(tmp_path, opened, path, as_link):
    if as_link:
        path.symlink_to(tmp_path / "elsewhere.sqlite")
    before = os.umask(0o022)
    try:
        opened().claim([b"a"])
    finally:
        os.umask(before)
    rights = {name.name: name.stat().st_mode & 0o777 for name in tmp_path.iterdir()}
    assert set(rights.values()) == {0o600}, rights


def test_a_database_in_memory_makes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database = Database(":memory:", "CREATE TABLE IF NOT EXISTS t (a)", name="the file")
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    database.close()
    assert list(tmp_path.iterdir()) == []


def test_a_locked_file_is_told(opened, path):
    first = opened()
    with first._database.reading() as connection:
        connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another program holds it locked"):
        first.claim([b"a"])
    other.execute("ROLLBACK")
    other.close()
    assert first.claim([b"a"]) == [None]


def test_a_full_disk_loses_nothing_that_was_written(opened, path):
    first = opened()
    first.write([(b"a", answer("kept"))])
    with first._database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalError, match="the disk is full; what was written before is kept"):
        first.write([(b"b", answer("new")), (b"c", answer("x" * 100_000))])
    assert first.claim([b"a", b"b"])[0] == answer("kept")
    first.close()
    assert opened().claim([b"a", b"b"]) == [answer("kept"), None]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on files there")
def test_a_limit_on_the_size_of_files_is_told(opened):
    import resource

    first = opened()
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(JournalError, match=r"a limit on the size of files; what was written before is kept"):
            first.write([(b"a", answer("x" * 100_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_an_unknown_trouble_of_sqlite_is_told_in_its_words():
    database = Database("", "CREATE TABLE t (a)", name="the file")
    with pytest.raises(JournalError, match="the file: no such table: nowhere"), database.transaction() as connection:
        connection.execute("SELECT * FROM nowhere")
    database.close()
    database.close()


def test_a_database_goes_to_another_process_by_its_path(tmp_path):
    database = Database(tmp_path / "d.sqlite", "CREATE TABLE IF NOT EXISTS t (a)", name="the file")
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    other = pickle.loads(pickle.dumps(database))
    with other.reading() as connection:
        assert connection.execute("SELECT a FROM t").fetchone() == (1,)
    database.close()
    other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_opens_the_file_for_itself(tmp_path):
    database = Database(tmp_path / "d.sqlite", "CREATE TABLE IF NOT EXISTS t (a)", name="the file")
    with database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")

    def write():
        with database.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (2)")

    child = multiprocessing.get_context("fork").Process(target=write)
    child.start()
    child.join(20)
    assert child.exitcode == 0
    with database.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (2,)
    database.close()


def test_many_may_open_a_new_file_at_the_same_moment(path):
    start, opened, troubles = threading.Barrier(8), [], []

    def open_one():
        start.wait(10)
        try:
            opened.append(Journal(path))
        except JournalError as error:
            troubles.append(error)

    for _ in range(5):
        threads = [threading.Thread(target=open_one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        while opened:
            opened.pop().close()
        path.unlink()
    assert troubles == []


def test_an_answer_on_disk_outlives_the_power(opened):
    first = opened()
    first.claim([b"a"])
    statements = []
    with first._database.reading() as connection:
        connection.set_trace_callback(statements.append)
    first.write([(b"a", answer("kept"))])
    first.claim([b"b"])
    first.write([(b"b", answer("kept"))])
    synced = [one for one in statements if "synchronous" in one]
    assert synced == [f"PRAGMA synchronous={how}" for how in ("FULL", "NORMAL", "FULL")]
    assert statements.index(synced[0]) < statements.index("BEGIN IMMEDIATE")


def test_nothing_to_write_does_not_touch_the_file(opened):
    first = opened()
    statements = []
    with first._database.reading() as connection:
        connection.set_trace_callback(statements.append)
    first.write([])
    first.release([])
    assert statements == []


def test_more_rows_than_one_statement_takes(opened):
    first, second = opened(), opened()
    keys = first.assign_keys([b"%020d" % (number // 2) for number in range(1500)])
    assert len(set(keys)) == 1500
    assert first.claim(keys) == [None] * 1500
    first.write([(key, answer("A")) for key in keys[:700]])
    first.release(keys[700:1400])
    assert second.claim(keys) == [answer("A")] * 700 + [None] * 700 + [CLAIMED_ELSEWHERE] * 100


def test_without_another_thread_the_claims_are_not_renewed_and_the_rest_works(opened, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    book = opened()
    assert book.claim([b"k"]) == [None]
    book.write([(b"k", answer("Paris."))])
    assert opened().claim([b"k"]) == [answer("Paris.")]
