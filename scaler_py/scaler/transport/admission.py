"""Who may come in by tcp: answers libzmq's questions about client keys (ZAP, RFC 27) and counts strangers."""

import logging
import time
from collections import OrderedDict

import zmq

from scaler.transport.x25519 import public_key

log = logging.getLogger("scaler.transport")

DOMAIN = "scaler"
_ENDPOINT = "inproc://zeromq.zap.01"
# A stranger that knocks again and again is one line a minute.
_REPORT_SECONDS = 60.0
_REMEMBERED_STRANGERS = 256


class Admission:
    """The ZAP handler of one context: make it before the server's socket; `answer` when its socket is readable.

    A CURVE server without a handler lets any client key in; one whose handler does not answer lets nobody in.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", client_secret: bytes) -> None:
        self._member = public_key(client_secret)
        # Of the server, for the log; its port is known after the bind.
        self.address = ""
        self._reported: OrderedDict[str, float] = OrderedDict()
        # Peers that came and went without proving anything: libzmq tells no more of them than that.
        self.unknown = 0
        self._reported_unknown = 0.0
        self.full = False
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    def answer(self) -> None:
        """Answers every question that waits."""
        while True:
            try:
                question = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            status, text = self._judge(question)
            request = question[1] if len(question) > 1 else b""
            self.socket.send_multipart([b"1.0", request, status, text, b"", b""])

    def _judge(self, question: list[bytes]) -> tuple[bytes, bytes]:
        if len(question) != 7 or question[0] != b"1.0" or question[5] != b"CURVE":
            return b"400", b"only CURVE"
        if question[6] != self._member:
            self._report_stranger(question[3].decode("ascii", "replace"))
            return b"400", b"unknown key"
        if self.full:
            return b"300", b"too many peers"
        return b"200", b""

    def _report_stranger(self, host: str) -> None:
        now = time.monotonic()
        if now - self._reported.get(host, -_REPORT_SECONDS) < _REPORT_SECONDS:
            return
        self._reported[host] = now
        self._reported.move_to_end(host)
        if len(self._reported) > _REMEMBERED_STRANGERS:
            self._reported.popitem(last=False)
        log.warning("%s: refused a peer from %s: it has the key of another cluster", self.address, host)

    def report_unknown(self) -> None:
        """Logs the count of unknown peers, at most once a minute."""
        now = time.monotonic()
        if self.unknown and now - self._reported_unknown >= _REPORT_SECONDS:
            log.warning(
                "%s: refused %d connection(s) of unknown peers: no key, a wrong one, or no scaler at all",
                self.address,
                self.unknown,
            )
            self.unknown = 0
            self._reported_unknown = now

    def close(self) -> None:
        self.socket.close()
