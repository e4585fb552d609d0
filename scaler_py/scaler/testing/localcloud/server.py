"""The server: from requests to calls, through all stages, and back."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from scaler.testing.localcloud.answers import Answer, AwsError, error_answer
from scaler.testing.localcloud.call import Call, read_call
from scaler.testing.localcloud.cloud import Handler, Next

logger = logging.getLogger("scaler.localcloud")

# Requests to this cloud that are none to AWS.
CONTROL = "/_localcloud/"
# Answers such a request: the rest of its path, its environ and its body.
Site = Callable[[str, Mapping[str, Any], bytes], Answer]


class Dropped(Exception):
    """Raised by a stage: the connection ends without an answer."""


class Application:
    """WSGI. stages: each calls the next one; moto is the last. sites: what is not AWS's, by how its path begins."""

    def __init__(
        self,
        stages: Sequence[Handler],
        handlers: Mapping[str, Handler],
        moto: Next,
        sites: Mapping[str, Site],
    ) -> None:
        self._handlers = handlers
        self._moto = moto
        self._sites = sites
        self._chain: Next = self._handle
        for stage in reversed(stages):
            self._chain = _link(stage, self._chain)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            answer = self._answer(environ, _body(environ))
        except Dropped:
            _hang_up(environ)
            raise ConnectionAbortedError from None
        # Of moto's headers these are the server's own business.
        headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in ("content-length", "connection")]
        start_response(f"{answer.status} X", [*headers, ("Content-Length", str(len(answer.body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        path = str(environ.get("PATH_INFO", "/"))
        for begin, site in self._sites.items():
            if f"{path}/".startswith(begin):
                return site(path.removeprefix(begin.rstrip("/")).lstrip("/"), environ, body)
        try:
            call = read_call(environ, body)
        except ValueError:
            return error_answer(AwsError("SerializationException", "The request cannot be read."), "json")
        try:
            return self._chain(call)
        except AwsError as error:
            return error_answer(error, call.protocol)
        except Dropped:
            raise
        except Exception:
            # A fault of this cloud's own, which looks like one of AWS's to who calls.
            logger.exception("%s failed", call.name)
            return error_answer(
                AwsError("InternalFailure", "The local cloud failed; its log says why.", 500), call.protocol
            )

    def _handle(self, call: Call) -> Answer:
        handler = self._handlers.get(call.name) or self._handlers.get(f"{call.service}:*")
        return handler(call, self._moto) if handler is not None else self._moto(call)


def _link(stage: Handler, following: Next) -> Next:
    return lambda call: stage(call, following)


def _body(environ: Mapping[str, Any]) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    length = str(environ.get("CONTENT_LENGTH") or 0)
    return bytes(environ["wsgi.input"].read(int(length))) if length.isdigit() else b""


def _hang_up(environ: Mapping[str, Any]) -> None:
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)


class _Requests(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        logger.debug(message, *args)

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        return


def make_http_server(application: Any, port: int) -> BaseWSGIServer:
    """On loopback; port 0 for a free one. A thread a connection. OSError: the port is in use."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listening:
        # The server has a copy of it.
        return make_server(
            "127.0.0.1", port, application, threaded=True, request_handler=_Requests, fd=listening.fileno()
        )
