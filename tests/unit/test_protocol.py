"""docs/protocol.md is the format: its tables, the golden vectors and Python's own msgpack agree.

TABLE below is written by hand from docs/protocol.md; the vectors are written by the Rust codec
(`cargo test -p scaler-wire write_vectors -- --ignored`) with a value other than the default in every field.
"""

import re
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest

VECTORS = Path(__file__).parent / "vectors"
DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"

RECORDS = {
    "Hello": "protocol u32, role Role, incarnation u64, received u64, sent u64, ticket bytes, session u64, "
    "node NodeInfo?, manager ManagerInfo?, properties [(text, text)]",
    "NodeInfo": "name text, manager text, group text, slots u32, capabilities [(text, i64)], python_minor u8, "
    "queue_size u32, offload bool",
    "ManagerInfo": "id text, driver text, least_groups u32, most_groups u32, slots u32, capabilities [(text, i64)], "
    "python_minor u8, startup_us u64, lease_us u64, cooldown_us u64?, workers_address text",
    "GroupReport": "group text, slots u32, state GroupState, infrastructure text, detail text",
    "ManagerStatus": "groups [GroupReport], trouble text, leaving bool",
    "Welcome": "incarnation u64, epoch u32, received u64, cluster text, storage text, properties [(text, text)]",
    "Submit": "function hash, first u64, options Options, blocks [Block], objects [ObjectUse], finished [(u32, u32)], "
    "graph Graph?",
    "Graph": "needs [Need], uses [u32]",
    "Need": "element u32, on u64, announced bool",
    "GivenValue": "on u64, value u64, index u32",
    "Input": "element u32, value u64, index u32",
    "Options": "style CallStyle, capabilities [(text, i64)], priority i32, depth u16, timeout_us u64, retries u16, "
    "python_minor u8, name text",
    "Block": "count u32, form Form, payload payload",
    "ObjectUse": "element u32, key key, size u64",
    "Range": "session u64, first u64, count u64",
    "Assign": "session u64, function hash, first u64, count u32, options Options, blocks [NodeBlock], "
    "objects [ObjectUse], inputs [Input]",
    "NodeBlock": "first u64, count u32, form Form, payload payload?",
    "Segment": "first u64, count u32, kind OutcomeKind, payload payload, failure Failure?, except [u32], busy_us u64",
    "Failure": "code FailureCode, attempts u32, status i32, nodes [text], detail text",
    "NodeStatus": "slots u32, queued u32, running u32, rss_bytes u64, draining bool, started [Range]",
    "Chunk": "chunk u32, session u64, function hash, style CallStyle, first u64, skip u32, take u32, "
    "block_count u32, form Form, payload payload?, depth u16, priority i32, inputs [Input]",
    "ChunkResult": "chunk u32, index u32, count u32, kind OutcomeKind, payload payload, busy_us u64",
}

MESSAGES = {
    (0, "Hello"): RECORDS["Hello"],
    (1, "Welcome"): RECORDS["Welcome"],
    (2, "Refused"): "code RefusalCode, reason text",
    (3, "UnknownLink"): "",
    (4, "Heartbeat"): "",
    (10, "Function"): "id hash, payload payload",
    (11, "ForgetFunction"): "id hash",
    (12, "Submit"): RECORDS["Submit"],
    (13, "Cancel"): "first u64, count u64",
    (14, "Query"): "request u32, kind QueryKind, first u64",
    (15, "Clear"): "",
    (16, "Goodbye"): "",
    (17, "Shutdown"): "request u32",
    (18, "HoldObject"): "key key, size u64",
    (19, "ReleaseObject"): "key key",
    (20, "Results"): "segments [Segment]",
    (21, "Answer"): "request u32, ok bool, text text",
    (22, "Closing"): "reason text",
    (23, "Lacking"): "sequences [u64]",
    (24, "Given"): "given [GivenValue]",
    (30, "Assign"): RECORDS["Assign"],
    (31, "DropBlocks"): "session u64, blocks [u64]",
    (32, "Reclaim"): "count u32",
    (33, "CancelElements"): "range Range",
    (34, "Drain"): "",
    (35, "Exit"): "reason text",
    (36, "Value"): "id u64, count u32, form Form, payload payload",
    (37, "DropValues"): "ids [u64]",
    (40, "Done"): "session u64, segment Segment",
    (41, "GaveBack"): "ranges [Range]",
    (42, "Lost"): "session u64, sequence u64, cause LossCause, status i32, detail text",
    (43, "Holding"): "ranges [Range]",
    (44, "NodeStatus"): RECORDS["NodeStatus"],
    (45, "Drained"): "",
    (50, "Ready"): "pid u32, error text",
    (51, "Chunk"): RECORDS["Chunk"],
    (52, "ChunkResult"): RECORDS["ChunkResult"],
    (53, "ChunkEnd"): "chunk u32, next u32, busy_us u64",
    (54, "Object"): "key key, size u64, offset u64, payload payload",
    (55, "ForgetObject"): "key key",
    (56, "LargeValue"): "chunk u32, index u32, hash hash, size u64, offset u64, payload payload",
    (57, "Stop"): "",
    (60, "Put"): "request u32, key key, size u64, offset u64, payload payload",
    (61, "Stored"): "request u32",
    (62, "Get"): "request u32, key key",
    (63, "Data"): "request u32, size u64, offset u64, payload payload",
    (64, "Missing"): "request u32",
    (65, "Delete"): "keys [key]",
    (66, "DeleteSession"): "session u64",
    (67, "StoreError"): "request u32, code StoreErrorCode, text text",
    (70, "StreamOutput"): "",
    (71, "Listen"): "session u64, on bool",
    (72, "Output"): "session u64, lines u32, dropped u64, payload payload",
    (80, "CancelUnstarted"): "request u32, first u64, count u64",
    (81, "Withdraw"): "request u64, range Range",
    (82, "Withdrawn"): "request u64, ranges [Range]",
    (90, "Within"): "node u64, session u64, sequence u64",
    (91, "Waits"): "chunk u32, index u32",
    (92, "GoesOn"): "chunk u32, index u32",
    (93, "Waiting"): "depths [u32]",
    (100, "StartWorkerGroup"): "group text, slots u32, capabilities [(text, i64)]",
    (101, "ShutdownWorkerGroup"): "group text",
    (102, "ManagerStatus"): RECORDS["ManagerStatus"],
}

CODES = {
    "Role": "Client Node Manager Scheduler Objects",
    "RefusalCode": "Protocol Ticket Malformed Duplicate Limit Closing",
    "Form": "List Table Single Reference",
    "CallStyle": "Full One Star",
    "OutcomeKind": "ValueList ValueTable ValueSingle ValueReference Exception Cancelled Failure",
    "FailureCode": "ProcessorDied WorkerDied TaskTimeout TaskMemory MissingObjects NodeSetup Rejected ObjectStorage "
    "Dependency NestingLimit",
    "LossCause": "ExecutorDied Collateral",
    "QueryKind": "Explain State Status",
    "GroupState": "Wanted Pending Running Ending Succeeded Failed Gone",
    "StoreErrorCode": "Full Quota Invalid",
}


def fields(text: str) -> list[tuple[str, str]]:
    """(name, type) of each field of a line of the tables."""
    parts = [field.partition(" ") for field in re.split(r", (?![^(]*\))", text) if field]
    return [(name, kind) for name, _, kind in parts]


def frame_of(kind: int, name: str) -> bytes:
    return bytes.fromhex((VECTORS / f"{kind:02}_{name}.hex").read_text())


class Body:
    """Checks values against types; payloads are cut from the body in the order in which they come."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def check(self, value: Any, kind: str) -> Any:
        """The value by names instead of positions."""
        if kind.endswith("?"):
            return None if value is None else self.check(value, kind[:-1])
        if kind.startswith("["):
            assert isinstance(value, list), (kind, value)
            return [self.check(entry, kind[1:-1]) for entry in value]
        if kind.startswith("("):
            kinds = kind[1:-1].split(", ")
            return tuple(self.check(entry, part) for entry, part in zip(value, kinds, strict=True))
        if kind in RECORDS:
            return self.record(value, RECORDS[kind])
        if kind in CODES:
            return CODES[kind].split()[value]
        return self.plain(value, kind)

    def record(self, value: Any, text: str) -> dict[str, Any]:
        names = fields(text)
        assert isinstance(value, list), (text, value)
        return {name: self.check(entry, kind) for entry, (name, kind) in zip(value, names, strict=True)}

    def plain(self, value: Any, kind: str) -> Any:
        if kind == "payload":
            payload, self.rest = self.rest[:value], self.rest[value:]
            assert len(payload) == value
            return payload
        if kind == "key":
            session, digest = value
            return (self.plain(session, "u64"), self.plain(digest, "hash"))
        if number := re.fullmatch(r"([iu])(\d+)", kind):
            low, bits = (-1 if number[1] == "i" else 0), int(number[2]) - (number[1] == "i")
            assert type(value) is int, (kind, value)
            assert low * 2**bits <= value < 2**bits, (kind, value)
        else:
            expected = {"text": str, "bytes": bytes, "hash": bytes, "bool": bool}
            assert type(value) is expected[kind], (kind, value)
            assert kind != "hash" or (isinstance(value, bytes) and len(value) == 16)
        return value


def decode(stream: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The header's first four numbers, and the frame's one message by names."""
    length, codec, reserved, header_length, body_length = struct.unpack_from("<IB3sII", stream)
    assert (length, codec, reserved) == (len(stream) - 4, 0, b"\0\0\0")
    header, body = stream[16 : 16 + header_length], stream[16 + header_length :]
    assert len(body) == body_length
    *numbers, [[kind, *values]] = msgpack.unpackb(header, raw=False, strict_map_key=True)
    assert msgpack.packb([*numbers, [[kind, *values]]], use_bin_type=True) == header, (
        "the shortest msgpack of each value"
    )
    (table,) = [text for (number, _), text in MESSAGES.items() if number == kind]
    reader = Body(body)
    message = reader.record(values, table)
    assert reader.rest == b"", "payloads use the whole body"
    return numbers, message


@pytest.mark.parametrize(("kind", "name"), list(MESSAGES), ids=lambda value: str(value))
def test_each_vector_decodes_to_the_documented_fields(kind: int, name: str) -> None:
    numbers, message = decode(frame_of(kind, name))
    assert numbers == [2**64 - 2, 70_000, 2**33, 300]
    assert list(message) == [field for field, _ in fields(MESSAGES[kind, name])]


@pytest.mark.parametrize(("kind", "name"), list(MESSAGES), ids=lambda value: str(value))
def test_no_field_of_a_vector_has_a_value_that_could_be_a_default(kind: int, name: str) -> None:
    _, message = decode(frame_of(kind, name))
    assert all(message.values()), message


def test_values_come_out_as_they_were_put_in() -> None:
    _, submit = decode(frame_of(12, "Submit"))
    assert (submit["first"], submit["options"]["style"], submit["options"]["retries"]) == (2**61 + 50, "Star", 8_275)
    assert [block["form"] for block in submit["blocks"]] == ["Reference", "Reference"]
    assert [len(block["payload"]) for block in submit["blocks"]] == [6, 6]
    assert submit["blocks"][0]["payload"] + submit["blocks"][1]["payload"] == frame_of(12, "Submit")[-12:]


def test_the_codec_has_these_fields_and_no_others() -> None:
    lines = (VECTORS / "fields.txt").read_text().splitlines()
    messages = {(int(line.split()[1]), line.split()[2]): names(line.split()[3:]) for line in lines if line[0] == "m"}
    records = {line.split()[1]: names(line.split()[2:]) for line in lines if line.startswith("record")}
    codes = {line.split(" ", 2)[1]: line.split(" ", 2)[2] for line in lines if line.startswith("code")}
    of_records = {key: records[key[1]] if key[1] in RECORDS else fields for key, fields in messages.items()}
    assert of_records == {key: [name for name, _ in fields(text)] for key, text in MESSAGES.items()}
    assert records == {name: [field for field, _ in fields(text)] for name, text in RECORDS.items()}
    assert codes == CODES


def names(columns: list[str]) -> list[str]:
    return [column.split(":")[0] for column in columns]


def test_the_document_has_every_message_record_and_number() -> None:
    document = DOCUMENT.read_text()
    rows = [
        *(f"| {kind} | {name} | {text} |" for (kind, name), text in MESSAGES.items() if name not in RECORDS),
        *(f"| {kind} | {name} | as the record |" for kind, name in MESSAGES if name in RECORDS),
        *(f"| {name} | {text} |" for name, text in RECORDS.items()),
        *(
            f"| {name} | {', '.join(f'{number} {code}' for number, code in enumerate(codes.split()))} |"
            for name, codes in CODES.items()
        ),
    ]
    assert [row for row in rows if row not in document] == []
