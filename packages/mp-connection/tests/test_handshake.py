"""The exchange that proves knowledge of the key, apart from any I/O."""

from __future__ import annotations

import hmac
import struct

import pytest
from hypothesis import given, strategies as st

from mp_connection._handshake import (
    DIGEST_SIZES,
    LARGEST_MESSAGE,
    Challenge,
    Handshake,
    answer_to,
    check_reply,
)
from mp_connection.errors import AuthenticationError

KEY = b"the key"


def converse(listener: Handshake, client: Handshake) -> None:
    """Hand messages over until nobody has any."""
    while listener.outgoing or client.outgoing:
        for one, other in ((listener, client), (client, listener)):
            if one.outgoing:
                other.receive(sent(one))


def sent(end: Handshake) -> bytes:
    """What an end has to send, taken from it."""
    data, end.outgoing = end.outgoing, b""
    return data


def frame(message: bytes) -> bytes:
    return struct.pack(">i", len(message)) + message


@given(st.binary())
def test_two_ends_with_one_key_agree(key: bytes) -> None:
    listener, client = Handshake(key, True), Handshake(key, False)
    converse(listener, client)
    assert listener.done
    assert client.done


def test_the_listener_challenges_first() -> None:
    listener, client = Handshake(KEY, True), Handshake(KEY, False)
    assert listener.outgoing[:4] == bytes([0, 0, 0, len(listener.outgoing) - 4])
    assert listener.outgoing[4:].startswith(b"#CHALLENGE#{sha256}")
    assert client.outgoing == b""


@given(st.binary(), st.binary())
def test_two_keys_fail_on_both_ends(one: bytes, other: bytes) -> None:
    # HMAC pads a key with zeros and hashes a long one: these are the same key to it.
    if one.rstrip(b"\0") == other.rstrip(b"\0"):
        return
    listener, client = Handshake(one, True), Handshake(other, False)
    client.receive(sent(listener))
    with pytest.raises(AuthenticationError, match="another key"):
        listener.receive(sent(client))
    assert listener.outgoing == frame(b"#FAILURE#")
    with pytest.raises(AuthenticationError, match="refused"):
        client.receive(sent(listener))
    assert not listener.done
    assert not client.done


@pytest.mark.parametrize("name", DIGEST_SIZES)
def test_every_digest_is_answered_and_accepted(name: str) -> None:
    challenge = Challenge(KEY, name)
    answer = answer_to(challenge.message, KEY)
    payload = challenge.message.removeprefix(b"#CHALLENGE#")
    assert payload.startswith(b"{%s}" % name.encode())
    expected = hmac.digest(KEY, payload, name)
    assert answer == b"{%s}%s" % (name.encode(), expected)
    challenge.check(answer)
    assert challenge.reply == b"#WELCOME#"


def test_an_unknown_digest_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="sha512"):
        Challenge(KEY, "sha512")


def test_a_challenge_of_an_older_python_gets_a_bare_answer() -> None:
    payload = bytes(range(20))
    answer = answer_to(b"#CHALLENGE#" + payload, KEY)
    assert answer == hmac.digest(KEY, payload, "md5")


def test_the_answer_of_an_older_python_is_accepted() -> None:
    challenge = Challenge(KEY)
    payload = challenge.message.removeprefix(b"#CHALLENGE#")
    challenge.check(hmac.digest(KEY, payload, "md5"))
    assert challenge.reply == b"#WELCOME#"


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"hello",
        b"#CHALLENGE#",
        b"#CHALLENGE#" + bytes(19),
        b"#CHALLENGE#" + bytes(21),
        b"#CHALLENGE#{sha256}",
        b"#CHALLENGE#{SHA256}" + bytes(40),
        b"#CHALLENGE#{nonsense}" + bytes(40),
        b"#CHALLENGE#{sha256" + bytes(40),
        b"#CHALLENGE#{}" + bytes(40),
        b"#WELCOME#",
    ],
)
def test_what_is_no_challenge_is_not_answered(challenge: bytes) -> None:
    with pytest.raises(AuthenticationError):
        answer_to(challenge, KEY)


@given(st.binary(max_size=256))
def test_no_other_bytes_are_an_answer(answer: bytes) -> None:
    challenge = Challenge(KEY)
    with pytest.raises(AuthenticationError):
        challenge.check(answer)
    assert challenge.reply == b"#FAILURE#"


@pytest.mark.parametrize("size", [0, 15, 16, 17, 31, 33])
def test_a_digest_of_the_wrong_size_is_no_answer(size: int) -> None:
    challenge = Challenge(KEY)
    payload = challenge.message.removeprefix(b"#CHALLENGE#")
    with pytest.raises(AuthenticationError):
        challenge.check(b"{sha256}" + (hmac.digest(KEY, payload, "sha256") * 2)[:size])


@given(st.binary(max_size=256).filter(lambda reply: reply != b"#WELCOME#"))
def test_only_a_welcome_is_one(reply: bytes) -> None:
    with pytest.raises(AuthenticationError):
        check_reply(reply)


@given(st.booleans(), st.lists(st.binary(max_size=256), max_size=4))
def test_garbage_never_completes_the_exchange(
    listening: bool, garbage: list[bytes]
) -> None:
    handshake = Handshake(KEY, listening)
    for message in garbage:
        try:
            handshake.receive(frame(message))
        except AuthenticationError:
            break
    assert not handshake.done


def test_our_own_challenge_sent_back_is_no_proof() -> None:
    listener = Handshake(KEY, True)
    with pytest.raises(AuthenticationError):
        listener.receive(sent(listener))


def test_a_message_behind_the_end_is_refused() -> None:
    listener, client = Handshake(KEY, True), Handshake(KEY, False)
    converse(listener, client)
    with pytest.raises(AuthenticationError, match="behind the end"):
        client.receive(b"more")
    with pytest.raises(AuthenticationError, match="behind the end"):
        listener.receive(frame(b"more"))


def is_convinced(end: Handshake) -> bool:
    return end.done  # a call: mypy takes an attribute for what it was


@given(st.binary(), st.integers(1, 70))
def test_no_byte_behind_the_exchange_is_asked_for(key: bytes, most: int) -> None:
    """However its bytes are split; each end goes on as soon as it is convinced."""
    listener, client = Handshake(key, True), Handshake(key, False)
    to_listener = to_client = b""
    for _ in range(2000):
        to_client += sent(listener)
        if listener.done:
            break
        count = min(listener.wanted, most)
        data, to_listener = to_listener[:count], to_listener[count:]
        listener.receive(data)
        if not is_convinced(client):
            count = min(client.wanted, most)
            data, to_client = to_client[:count], to_client[count:]
            client.receive(data)
            to_listener += sent(client)
            if is_convinced(client):
                to_listener += b"behind"
    assert is_convinced(listener)
    assert is_convinced(client)
    assert [to_listener, to_client] == [b"behind", b""]


def test_the_shortest_far_end_is_not_waited_for_in_vain() -> None:
    """A far end before Python 3.12 sends 16 bytes of MD5, and waits for each reply."""
    listener = Handshake(KEY, True)
    challenge = sent(listener)[4:]
    answer = hmac.digest(KEY, challenge[len(b"#CHALLENGE#") :], "md5")
    listener.receive(frame(answer))
    assert sent(listener) == frame(b"#WELCOME#")
    listener.receive(frame(b"#CHALLENGE#" + bytes(range(20))))
    assert sent(listener) == frame(hmac.digest(KEY, bytes(range(20)), "md5"))
    stream = frame(b"#WELCOME#") + b"\0\0\0\1x"
    for size in (6, 7):
        data, stream = stream[: min(size, listener.wanted)], stream[size:]
        listener.receive(data)
    assert listener.done
    assert stream == b"\0\0\0\1x"


@given(st.booleans(), st.binary(min_size=4, max_size=4))
def test_a_message_of_any_other_size_ends_it(listening: bool, length: bytes) -> None:
    (size,) = struct.unpack(">i", length)
    handshake = Handshake(KEY, listening)
    if 0 < size <= LARGEST_MESSAGE:
        handshake.receive(length)
        assert handshake.partial == length
        assert handshake.wanted > size
    else:
        with pytest.raises(AuthenticationError):
            handshake.receive(length)


@pytest.mark.parametrize("listening", [False, True])
def test_a_key_is_bytes(listening: bool) -> None:
    with pytest.raises(TypeError, match="authkey is bytes, not str"):
        Handshake("key", listening)  # type: ignore[arg-type]


def test_a_host_without_md5_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hmac.digest

    def refuse(key: bytes, message: bytes, name: str) -> bytes:
        if name == "md5":
            raise ValueError("[digital envelope routines] unsupported")
        return digest(key, message, name)

    monkeypatch.setattr(hmac, "digest", refuse)
    with pytest.raises(
        AuthenticationError, match=r"'md5', which .* before Python 3.12"
    ):
        answer_to(b"#CHALLENGE#" + bytes(20), KEY)
    with pytest.raises(
        AuthenticationError, match=r"'md5', which .* before Python 3.12"
    ):
        Challenge(KEY).check(bytes(16))
    listener, client = Handshake(KEY, True), Handshake(KEY, False)
    converse(listener, client)
    assert client.done
