"""Ctrl-C is noticed wherever it comes."""

import signal

import pytest

from stream.demo.interrupt import Interrupted, interruptible


def test_ctrl_c_is_noticed_where_c_code_makes_another_error_of_it() -> None:
    with pytest.raises(Interrupted), interruptible():
        configure_a_client()


def test_ctrl_c_itself_is_noticed() -> None:
    with pytest.raises(Interrupted), interruptible():
        signal.raise_signal(signal.SIGINT)


def test_an_error_without_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="as it is"), interruptible():
        raise TypeError("as it is")


def test_afterwards_ctrl_c_is_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def configure_a_client() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise TypeError("expected configuration property name") from None
