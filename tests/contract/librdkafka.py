"""What the Python client cannot be made to do, with the librdkafka that it has loaded.

A mock cluster that refuses requests or lets them wait on command, and a producer of headers with any name.
"""

import ctypes
import logging
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer, cimpl

FETCH, OFFSET_COMMIT = 1, 8
"""The keys of these requests in Kafka's protocol."""
_PRODUCER = 0
_BROKER = 1
_TOPIC, _PARTITION, _VALUE, _HEADERS, _END = 1, 3, 4, 10, 0
"""Tags of `rd_kafka_producev`'s arguments."""
_TEXT_BYTES = 512

_library = ctypes.CDLL(cimpl.__file__)  # its symbols are looked for in what it is linked with, too


def _function(name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(_library, name)
    found.restype, found.argtypes = result, list(arguments)
    return found


_Pointer, _Text, _Int, _Size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
_conf_new = _function("rd_kafka_conf_new", _Pointer)
_conf_set = _function("rd_kafka_conf_set", _Int, _Pointer, _Text, _Text, _Text, _Size)
_new = _function("rd_kafka_new", _Pointer, _Int, _Pointer, _Text, _Size)
_flush = _function("rd_kafka_flush", _Int, _Pointer, _Int)
_destroy = _function("rd_kafka_destroy", None, _Pointer)
_mock = _function("rd_kafka_handle_mock_cluster", _Pointer, _Pointer)
_bootstraps = _function("rd_kafka_mock_cluster_bootstraps", _Text, _Pointer)
_push_errors = _function(
    "rd_kafka_mock_push_request_errors_array", None, _Pointer, ctypes.c_int16, _Size, _Pointer
)
_push_delays = _library.rd_kafka_mock_broker_push_request_error_rtts
_push_delays.restype = _Int
_headers_new = _function("rd_kafka_headers_new", _Pointer, _Size)
_header_add = _function(
    "rd_kafka_header_add", _Int, _Pointer, _Text, ctypes.c_ssize_t, _Text, ctypes.c_ssize_t
)
_producev = _library.rd_kafka_producev
_producev.restype = _Int


def _handle(properties: dict[bytes, bytes]) -> int:
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    conf = _conf_new()
    for name, value in properties.items():
        assert _conf_set(conf, name, value, text, _TEXT_BYTES) == 0, text.value
    handle = _new(_PRODUCER, conf, text, _TEXT_BYTES)
    assert handle, text.value
    return int(handle)


class RefusingKafka:
    """A mock cluster of one broker, whose next answers may be errors, or late."""

    def __init__(self) -> None:
        self._handle = _handle({b"test.mock.num.brokers": b"1", b"log_level": b"0"})
        self._cluster = _mock(self._handle)
        self.bootstrap: str = _bootstraps(self._cluster).decode()

    def create_topic(self, topic: str) -> None:
        """Topics come into being when somebody asks for them."""
        asking = Producer({"bootstrap.servers": self.bootstrap}, logger=logging.getLogger("librdkafka"))
        asking.list_topics(topic, timeout=10)

    def refuse(self, request: int, codes: Sequence[int]) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        array = (_Int * len(codes))(*codes)
        _push_errors(self._cluster, request, len(codes), array)

    def delay(self, request: int, by_ms: int) -> None:
        """Answer the next request of this kind so much later, and what follows it on its connection."""
        of_broker = (_Pointer(self._cluster), ctypes.c_int32(_BROKER), ctypes.c_int16(request))
        assert _push_delays(*of_broker, _Size(1), _Int(KafkaError.NO_ERROR), _Int(by_ms)) == 0

    def close(self) -> None:
        _destroy(self._handle)


def produce_with_header(bootstrap: str, topic: str, value: bytes, name: bytes) -> None:
    """One record with one header, whose name may be no text at all."""
    handle = _handle({b"bootstrap.servers": bootstrap.encode(), b"log_level": b"0"})
    try:
        headers = _headers_new(1)
        assert _header_add(headers, name, len(name), b"v", 1) == 0
        failure = _producev(
            _Pointer(handle),
            *(_TOPIC, _Text(topic.encode())),
            *(_PARTITION, ctypes.c_int32(0)),
            *(_VALUE, _Text(value), _Size(len(value))),
            *(_HEADERS, _Pointer(headers)),
            _END,
        )
        assert failure == 0, KafkaError(failure)
        assert _flush(handle, 30_000) == 0
    finally:
        _destroy(handle)
