"""How two ends prove to each other that they know the same key: bytes in, bytes out.

The exchange is the standard library's, so that either end can be replaced alone::

    challenger                                     answerer
    #CHALLENGE# payload                       ->
                                              <-   HMAC of the payload under the key
    #WELCOME# or #FAILURE#                    ->

The listener challenges first; then the client challenges it.

- Python 3.12 and later send ``{sha256}`` and 40 random bytes as the payload, and answer
  with the name that the payload begins with, in braces, and the digest.  The digest
  covers the whole payload, its name included.
- Python before 3.12 sends 20 random bytes, and answers whatever it gets with the 16
  bytes of HMAC-MD5.  The newer ones accept that, and answer 20 nameless bytes so.

A message of the exchange has at most 256 bytes, and nothing in it is a pickle.
"""

from __future__ import annotations

from os import urandom
from struct import Struct

from mp_connection.errors import AuthenticationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

#: Bytes in the longest message of the exchange.
LARGEST_MESSAGE = 256

_CHALLENGE = b"#CHALLENGE#"
_WELCOME = b"#WELCOME#"
_FAILURE = b"#FAILURE#"

_LEGACY = "md5"
#: What the standard library accepts, with the bytes in a digest.
DIGEST_SIZES = {_LEGACY: 16, "sha256": 32, "sha384": 48, "sha3_256": 32, "sha3_384": 48}
_RANDOM_SIZE = 40
#: A shorter payload would let a stranger collect digests of chosen messages.
_SHORTEST_PAYLOAD = 20

#: Digests by what names them in a message.
_NAMES = {f"{{{name}}}".encode(): name for name in DIGEST_SIZES}
_PREFIXES = {name: prefix for prefix, name in _NAMES.items()}
_LENGTH = Struct(">I")

_PREFIX_SIZE = _LENGTH.size
#: Bytes of either verdict in the stream.
_VERDICT_SIZE = _PREFIX_SIZE + len(_WELCOME)
#: Bytes to receive at a time: more than the far end can have sent.
_MOST = 2 * (_PREFIX_SIZE + LARGEST_MESSAGE)


def check_key(authkey: object) -> None:
    """Refuse what is no key.

    Raises:
        TypeError: it is not a bytes object.
    """
    if not isinstance(authkey, bytes):
        raise TypeError(f"authkey is bytes, not {type(authkey).__name__}")


class Challenge:
    """One side's question: does the far end know the key?

    Args:
        authkey: the key.
        digest_name: the digest to ask for.

    Attributes:
        message: what to send first.
        reply: after `check`, what to send the far end about its answer.

    Raises:
        ValueError: the standard library knows no such digest.
    """

    __slots__ = ("_key", "_payload", "message", "reply")

    def __init__(self, authkey: bytes, digest_name: str = "sha256") -> None:
        check_key(authkey)
        prefix = _PREFIXES.get(digest_name)
        if prefix is None:
            known = ", ".join(DIGEST_SIZES)
            raise ValueError(f"no digest {digest_name!r}; there are {known}")
        self._key = authkey
        self._payload = prefix + urandom(_RANDOM_SIZE)
        self.message = _CHALLENGE + self._payload
        self.reply = _FAILURE

    def check(self, answer: bytes) -> None:
        """Check the far end's answer.

        Raises:
            AuthenticationError: it does not know the key; `reply` tells it so.
        """
        name, code = _split(answer)
        if name is None and len(code) == DIGEST_SIZES[_LEGACY]:
            name = _LEGACY
        if name is None or len(code) != DIGEST_SIZES[name]:
            raise AuthenticationError(
                "the far end did not answer the challenge: it has no key, or speaks"
                " another protocol"
            )
        import hmac  # see `_digest`

        if not hmac.compare_digest(code, _digest(self._key, self._payload, name)):
            raise AuthenticationError("the far end has another key")
        self.reply = _WELCOME


def answer_to(challenge: bytes, authkey: bytes) -> bytes:
    """The answer to the far end's first message.

    Raises:
        AuthenticationError: it is no challenge, or asks for what this host cannot do.
    """
    if not challenge.startswith(_CHALLENGE):
        raise AuthenticationError(
            "the far end sent no challenge: it has no key, or speaks another protocol"
        )
    payload = challenge[len(_CHALLENGE) :]
    if len(payload) < _SHORTEST_PAYLOAD:
        raise AuthenticationError(f"a challenge of {len(payload)} bytes is too short")
    name, _ = _split(payload)
    if name is not None:
        return _PREFIXES[name] + _digest(authkey, payload, name)
    if len(payload) != _SHORTEST_PAYLOAD:
        raise AuthenticationError("the challenge asks for a digest that is not known")
    return _digest(authkey, payload, _LEGACY)


def check_reply(reply: bytes) -> None:
    """Look at what the far end says about our answer.

    Raises:
        AuthenticationError: it is not satisfied.
    """
    if reply == _FAILURE:
        raise AuthenticationError("the far end has another key, and refused ours")
    if reply != _WELCOME:
        raise AuthenticationError("the far end did not say whether our key is right")


def is_challenge(message: bytes) -> bool:
    """Whether a message looks like the far end's demand for a key."""
    return message.startswith(_CHALLENGE)


def _split(message: bytes) -> tuple[str | None, bytes]:
    """The digest that a message names, if it is one of ours, and what follows."""
    end = message.find(b"}") + 1
    name = _NAMES.get(message[:end])
    return name, message if name is None else message[end:]


def _digest(key: bytes, payload: bytes, name: str) -> bytes:
    import hmac  # it brings OpenSSL along, which takes as long as ten modules of ours

    try:
        return hmac.digest(key, payload, name)
    except ValueError as error:
        raise AuthenticationError(
            f"this host does not allow the digest {name!r}"
            + (", which a far end before Python 3.12 needs" if name == _LEGACY else "")
        ) from error


# The two sides over a connection, as generators: they yield a message to send, or None
# for "receive", and are sent what was received.


def challenging(
    authkey: bytes, digest_name: str = "sha256"
) -> Generator[bytes | None, bytes, None]:
    """The challenger's part of one half of the exchange.

    Raises:
        AuthenticationError: the far end does not know the key.
    """
    challenge = Challenge(authkey, digest_name)
    yield challenge.message
    answer = yield None
    try:
        challenge.check(answer)
    finally:
        yield challenge.reply


def answering(authkey: bytes) -> Generator[bytes | None, bytes, None]:
    """The answerer's part of one half of the exchange.

    Raises:
        AuthenticationError: the far end does not accept the key.
    """
    challenge = yield None
    yield answer_to(challenge, authkey)
    check_reply((yield None))


class Handshake:
    """The whole exchange as one end sees it: bytes of a stream in, bytes out.

    Messages lie in the stream as those of a connection do, each behind its length in 4
    bytes.  The client sends its own challenge right behind its answer: that saves a
    round trip, and the bytes are the same.

    Args:
        authkey: the key.
        listening: whether this end is the listener, which challenges first.

    Attributes:
        outgoing: what to send now; the caller removes what is sent.
        partial: half a message is here, and the rest on its way.
        done: whether both ends have proved that they know the key.
        wanted: bytes that may be received now, and never one from behind the exchange.
            Nobody sends such a byte before he is convinced: the listener not before the
            client's verdict, and the client not before the listener's answer.  So there
            is just one message that may have something behind it.

    Raises:
        TypeError: the key is not bytes.
    """

    __slots__ = (
        "_challenge", "_key", "_steps", "_taken", "done", "outgoing", "partial",
        "wanted",
    )  # fmt: skip

    def __init__(self, authkey: bytes, listening: bool) -> None:
        check_key(authkey)
        self._key = authkey
        self._taken = 0
        self._steps = _LISTENER if listening else _CLIENT
        self.partial = self.outgoing = b""
        self.wanted = _MOST
        self.done = False
        if listening:
            self._ask()

    def receive(self, data: bytes) -> None:
        """Take bytes of the far end's.

        Raises:
            AuthenticationError: the exchange failed; what is in `outgoing` tells the
                far end.
        """
        if self.partial:
            data = self.partial + data
        while len(data) >= _PREFIX_SIZE and not self.done:
            (size,) = _LENGTH.unpack_from(data)
            if size > LARGEST_MESSAGE:
                raise AuthenticationError(
                    "the far end speaks another protocol: a message of the exchange has"
                    f" at most {LARGEST_MESSAGE} bytes"
                )
            end = _PREFIX_SIZE + size
            if len(data) < end:
                break
            self._steps[self._taken](self, data[_PREFIX_SIZE:end])
            self._taken += 1
            self.done = self._taken == 3
            data = data[end:]
        self.partial = data
        if self._taken == 2 and self._steps is _LISTENER:
            self.wanted = _VERDICT_SIZE - len(data)
        if data and self.done:
            raise AuthenticationError("a message behind the end of the exchange")

    def _ask(self) -> None:
        self._challenge = Challenge(self._key)
        self.outgoing += _frame(self._challenge.message)

    # What comes from the far end:

    def _question(self, message: bytes) -> None:
        self.outgoing += _frame(answer_to(message, self._key))

    def _first_question(self, message: bytes) -> None:
        self._question(message)
        self._ask()

    def _answer(self, message: bytes) -> None:
        try:
            self._challenge.check(message)
        finally:
            self.outgoing += _frame(self._challenge.reply)

    def _verdict(self, message: bytes) -> None:
        check_reply(message)


_LISTENER = Handshake._answer, Handshake._question, Handshake._verdict
_CLIENT = Handshake._first_question, Handshake._verdict, Handshake._answer


def _frame(message: bytes) -> bytes:
    return _LENGTH.pack(len(message)) + message
