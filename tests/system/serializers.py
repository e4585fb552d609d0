"""Serializers of users: one that works, and those that do not."""

from __future__ import annotations

from typing import Any

import cloudpickle
import msgpack
from scaler import Serializer

FUNCTION = 1


class MsgpackSerializer(Serializer):
    """msgpack for data, cloudpickle for functions, of which msgpack knows nothing."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return msgpack.packb(obj, default=_function)

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return msgpack.unpackb(payload, ext_hook=lambda _, data: cloudpickle.loads(data))


def _function(obj: Any) -> msgpack.ExtType:
    if callable(obj):
        return msgpack.ExtType(FUNCTION, cloudpickle.dumps(obj))
    raise TypeError(f"msgpack has no form for {type(obj).__name__}")


class ReturnsText(MsgpackSerializer):
    """Text instead of bytes for what is no function."""

    @staticmethod
    def serialize(obj: Any) -> Any:
        return MsgpackSerializer.serialize(obj) if callable(obj) else str(obj)


class RefusesAll(MsgpackSerializer):
    @staticmethod
    def serialize(obj: Any) -> bytes:
        raise ValueError("nothing is for me")


class RefusesSeven(MsgpackSerializer):
    """Cannot read what is 7."""

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        value = MsgpackSerializer.deserialize(payload)
        if value == 7:
            raise ValueError("seven is not for me")
        return value


class ForgetsFunctions(MsgpackSerializer):
    """Makes names of functions."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return MsgpackSerializer.serialize(obj.__name__ if callable(obj) else obj)


class Buffers(MsgpackSerializer):
    """As libraries do that have a buffer class of their own."""

    @staticmethod
    def serialize(obj: Any) -> Any:
        return memoryview(MsgpackSerializer.serialize(obj))


class ArrowSerializer(Serializer):
    """Arrow's stream for tables, marked by a byte; cloudpickle for the rest. Needs pyarrow on both sides."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        import pyarrow

        if not isinstance(obj, pyarrow.Table):
            return b"p" + cloudpickle.dumps(obj)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, obj.schema) as writer:
            writer.write_table(obj)
        return b"a" + sink.getvalue().to_pybytes()

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        import pyarrow

        if payload[:1] == b"p":
            return cloudpickle.loads(payload[1:])
        with pyarrow.ipc.open_stream(pyarrow.py_buffer(payload[1:])) as reader:
            return reader.read_all()
