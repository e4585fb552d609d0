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


class Dropped(Exception):
    """Raised by a stage: the connection ends without an answer."""


class Application:
    """WSGI. stages: each calls the next one; moto is the last. control: answers what is below `CONTROL`."""

    def __init__(
        self,
        stages: Sequence[Handler],
        handlers: Mapping[str, Handler],
        moto: Next,
        control: Callable[[str, Mapping[str, Any], bytes], Answer],
    ) -> None:
        self._handlers = handlers
        self._moto = moto
        self._control = control
        self._chain: Next = self._handle
        for stage in reversed(stages):
            self._chain = _link(stage, self._chain)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = _body(environ)
        path = str(environ.get("PATH_INFO", "/"))
        if path.startswith(CONTROL):
            answer = self._control(path.removeprefix(CONTROL), environ, body)
        else:
            call = read_call(environ, body)
            try:
                answer = self._chain(call)
            except AwsError as error:
                answer = error_answer(error, call.protocol)
            except Dropped:
                _hang_up(environ)
                raise ConnectionAbortedError from None
        # Of moto's headers these are the server's own business.
        headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in ("content-length", "connection")]
        start_response(f"{answer.status} X", [*headers, ("Content-Length", str(len(answer.body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _handle(self, call: Call) -> Answer:
        handler = self._handlers.get(call.name) or self._handlers.get(f"{call.service}:*")
        return handler(call, self._moto) if handler is not None else self._moto(call)


def _link(stage: Handler, following: Next) -> Next:
    return lambda call: stage(call, following)


def _body(environ: Mapping[str, Any]) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return bytes(environ["wsgi.input"].read(length))


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
    """On loopback; port 0 for a free one. A thread a connection."""
    return make_server("127.0.0.1", port, application, threaded=True, request_handler=_Requests)
