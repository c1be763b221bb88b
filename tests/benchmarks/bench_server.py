"""A loopback server for the benchmarks, in a process of its own: it streams a case as fast as it is read, or paced.

`python tests/benchmarks/bench_server.py` prints its ports, plain and TLS (0 without a certificate), and ends with its
standard input.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time

from bench_wires import Case, closing, document, end, event, fire, framer, head, stamp, start

_seen = {"connections": 0, "requests": 0}


def main() -> None:
    """Serve until standard input ends."""
    certificate = sys.argv[1] if len(sys.argv) > 1 else ""
    ports = [_listen(None)]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        ports.append(_listen(context))
    sys.stdout.write(json.dumps([*ports, 0][:2]) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def _listen(context: ssl.SSLContext | None) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    return int(listener.getsockname()[1])


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve, args=(sock, context), daemon=True).start()


def _serve(sock: socket.socket, context: ssl.SSLContext | None) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    counted = False
    try:
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        reader = sock.makefile("rb")
        while True:
            path, streams = _read_request(reader)
            if path == "/stats":
                _answer(sock, json.dumps(_seen).encode())
                continue
            if path.endswith("/models"):
                _answer(sock, b'{"object":"list","data":[{"id":"bench","object":"model"}]}')
                continue
            _seen["connections"] += not counted
            _seen["requests"] += 1
            counted = True
            case = Case.parse(path.split("/")[2])
            if not streams:
                _answer(sock, document("".join(case.words) * (case.events // 2) + case.words[0] * (case.events % 2)))
            elif _stream(sock, case):
                break
    except (OSError, EOFError):
        return
    finally:
        sock.close()


def _read_request(reader) -> tuple[str, bool]:  # type: ignore[no-untyped-def]
    """Return the path of a request, and whether a stream is asked for."""
    line = reader.readline()
    if not line:
        raise EOFError
    size = 0
    while (header := reader.readline().strip().lower()) != b"":
        if header.startswith(b"content-length:"):
            size = int(header[15:])
    body = json.loads(reader.read(size)) if size else {}
    path = line.split()[1].decode()
    return path, body.get("stream", False) or "stream" in path.rpartition("/")[2].lower()


def _answer(sock: socket.socket, body: bytes) -> None:
    told = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    sock.sendall(told % (len(body), body))


def _stream(sock: socket.socket, case: Case) -> bool:
    """Send a stream; tell whether the connection ends with it."""
    if case.pace:
        sock.sendall(head(case))
        _send_paced(sock, case)
    else:
        pieces = fire(case)
        sock.sendall(head(case) + next(pieces))
        for piece in pieces:
            sock.sendall(piece)
    return case.framing == "close"


def _send_paced(sock: socket.socket, case: Case) -> None:
    frame = framer(case)
    for piece in start(case.wire):
        sock.sendall(frame(piece))
    due, rest = time.monotonic(), b""
    for number in range(case.events):
        due += case.pace
        time.sleep(max(0.0, due - time.monotonic()))
        piece = event(case.wire, stamp())
        if case.framing != "two":
            sock.sendall(frame(piece))
        elif rest:
            # The second of two events that were announced as one chunk.
            sock.sendall(piece + b"\r\n")
            rest = b""
        elif number + 1 < case.events:
            sock.sendall(b"%x\r\n%s" % (2 * len(piece), piece))
            rest = piece
        else:
            sock.sendall(frame(piece))
    sock.sendall(b"".join(map(frame, end(case.wire))) + closing(case, frame))


if __name__ == "__main__":
    main()
