"""A Kafka that at times knows a topic and no brokers, as one may for a moment while it starts."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

API_VERSIONS, METADATA = 18, 3
_NEEDED = 0, 1, 8, 9, 10, 11, 12, 13, 14, 22
"""Without these a client takes it for too old; nobody gets so far as to use them."""
_HOST, _TOPIC = b"127.0.0.1", b"events"
_LEADER_NOT_AVAILABLE, _UNSUPPORTED_VERSION = 5, 35


def _api_versions(version: int) -> bytes:
    """In the oldest form, which clients go back to when they are told so."""
    known = [(API_VERSIONS, 0, 0), (METADATA, 1, 1), *((key, 0, 3) for key in _NEEDED)]
    error = _UNSUPPORTED_VERSION if version else 0
    return struct.pack(">hi", error, len(known)) + b"".join(struct.pack(">hhh", *one) for one in known)


def _metadata(port: int | None) -> bytes:
    """port: of the only broker; None where there is none."""
    brokers = struct.pack(">i", 0)
    if port is not None:
        brokers = struct.pack(">iih", 1, 1, len(_HOST)) + _HOST + struct.pack(">ih", port, -1)
    topic = struct.pack(">hh", 0, len(_TOPIC)) + _TOPIC + struct.pack(">bi", 0, 1)
    partition = struct.pack(">hiiii", _LEADER_NOT_AVAILABLE, 0, -1, 0, 0)
    return brokers + struct.pack(">ii", 1, 1) + topic + partition


class _Answers(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        while len(size := self.rfile.read(4)) == 4:
            request = self.rfile.read(struct.unpack(">i", size)[0])
            key, version, correlation = struct.unpack(">hhi", request[:8])
            if key not in (API_VERSIONS, METADATA):
                continue  # nobody gets an answer to anything else
            body = _api_versions(version) if key == API_VERSIONS else self.server.metadata()
            self.wfile.write(struct.pack(">ii", 4 + len(body), correlation) + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    answers = 0

    def metadata(self) -> bytes:
        """It knows itself in every other answer."""
        self.answers += 1
        return _metadata(self.server_address[1] if self.answers % 2 else None)


@contextmanager
def forgetful_kafka() -> Iterator[str]:
    """Yields its address."""
    with _Server(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="forgetful", daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
