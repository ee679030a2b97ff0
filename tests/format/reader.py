#!/usr/bin/env python3
"""reader.py - lists the content of a vecstore database, written from docs/FORMAT.md alone.

    python3 tests/format/reader.py [--fsck] FILE

A reference to read beside the document: sections and words are the document's. It changes no file. The
listing goes to stdout, one line per thing, in the order of the format's keys:

    checkpoint NUMBER lsn LSN digest HEX              the checkpoint that the content was read from
    collection ID NAME dim= type= metric= index= created= count=       of its field 0
    field COLLECTION-ID NUMBER NAME dim= type= metric= index= optional=  of the others
    record COLLECTION-ID KEY SUM-OF-XXH3-128-OF-THE-VECTORS METADATA-AS-A-JSON-STRING, or -
    alias COLLECTION-ID NAME
    note COLLECTION-ID KEY-HEX VALUE-HEX
    digest HEX ok                                     computed anew, and it is the recorded one

Damage ends with status 1 and one line on stderr: the thing, what was found, what was expected. --fsck
also verifies what a reader has no need of: the other meta page, the other checkpoint, the lists of free
pages, and every statement of the document about order, sizes and counts.

Needs Python 3.11, xxhash, and for compressed values zstandard (Debian: python3-xxhash, python3-zstandard).
"""
import copy
import json
import os
import re
import struct
import sys
from dataclasses import dataclass, field

import xxhash

try:
    import zstandard
except ImportError:  # databases without compressed values need none
    zstandard = None

PAGE = 4096
PAGE_B = 65536
FIRST_PAGE = 32  # the first page of extents
MAGIC = b"vecstore\x89\r\n\x1a\n\0\0\0"
LOG_MAGIC = b"vecstore\x89\r\n\x1a\n\0lg"
VERSION = (0, 4)
NODE, SLAB, BLOB, FREE = 1, 2, 3, 4
KINDS = ["none", "node", "slab", "blob", "list of free pages"]
ENTRY_MAX = 1340  # bytes of an entry of a leaf and of its offset
PLAIN, ZSTD = 0, 1  # codecs
NEEDS_ZSTD, NEEDS_TRAILERS = 1, 2  # needed features
TRAILER = 40  # bytes, in a database that has them
VALUE_MAX = 1048576  # bytes of a compressed value
CONT, COMMIT, MARK = 1, 2, 3
PAYLOAD_MAX = 67108864
CREATE, PUT, DELETE, NOTE, DIGEST = 1, 2, 3, 4, 5
SAVEPOINT, RELEASE, ROLLBACK_TO, METADATA, RENAME, ALIAS, LIMITS, TOUCH, PAYLOAD, DROP = 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
PIECE = 65536  # bytes of a piece of a payload
SAVEPOINTS_MAX = 1000
NO_SLOT = 0xFFFFFFFF
ID_MAX = 0xFFFFFFEF  # of a collection
TOKEN_RING, TOKENS = 0xFFFFFFFE, 0xFFFFFFFF  # ids of notes
TOKENS_MAX, TOKEN_BYTES_MAX = 65536, 255
TYPES = {1: ("f32", 32), 2: ("u8", 8), 3: ("f16", 16), 4: ("bf16", 16), 5: ("i8", 8), 6: ("bit", 1)}  # bits
L2, IP, COSINE = 1, 2, 3
CODES = {b"rq1": 1, b"rq2": 2, b"rq4": 4, b"rq8": 8, b"f16": 16, b"bf16": 17}
METRICS = {1: "l2", 2: "ip", 3: "cosine", 4: "l1", 5: "hamming", 6: "jaccard"}
TREES = ["keys", "metadata", "live", "slabs", "long keys", "payloads"]
NUMBER, BYTES, UUID = 1, 2, 3  # types of keys
CELL_BYTES = 32


class Damage(Exception):
    """Bytes that are not as the document says."""


def expect(good, thing, found, expected):
    if not good:
        raise Damage(f"{thing}: found {found}, expected {expected}")


def equal(thing, found, expected):
    expect(found == expected, thing, found, expected)


def hash64(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def hash128(data):
    return xxhash.xxh3_128_intdigest(data)


class Fields:
    """Takes values off the front of bytes; what would run over their end is damage."""

    def __init__(self, data, thing, place=0):
        self.data, self.thing, self.place = data, thing, place

    def raw(self, size):
        left = len(self.data) - self.place
        expect(size <= left, self.thing, f"{left} bytes", f"{size} or more at byte {self.place}")
        self.place += size
        return self.data[self.place - size:self.place]

    def take(self, form):
        """Little-endian values: B, H, I and Q are u8 to u64, q is i64; one value comes as itself."""
        values = struct.unpack("<" + form, self.raw(struct.calcsize("<" + form)))
        return values[0] if len(values) == 1 else values

    def run(self):
        return self.raw(self.take("I"))

    def hash128(self):
        low, high = self.take("QQ")
        return high << 64 | low

    def end(self):
        equal(f"{self.thing}: bytes behind its end", len(self.data) - self.place, 0)


def bf16_numbers(row):
    return [struct.unpack("<f", b"\0\0" + row[i:i + 2])[0] for i in range(0, len(row), 2)]


def text_of(data, thing):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damage(f"{thing}: found {data.hex()}, expected UTF-8: {error.reason}") from None


# ---- the content, and its digest (section 9) --------------------------------------------------------

def collection_term(c):
    total = hash128(struct.pack("<2Iq", 1, c.id, c.created)) + name_term(c.name, c.id, False)
    total += limits_term(c)
    for number, f in enumerate(c.fields):
        head = struct.pack("<8I", 5, c.id, number, f.dim, f.type, f.metric, f.optional, len(f.name))
        total += hash128(head + f.name + f.index)
    return total


def name_term(name, collection_id, is_alias):
    return hash128(struct.pack("<3I", 6, collection_id, is_alias) + name)


def limits_term(c):
    limits = (c.max_records, c.max_bytes)
    return hash128(struct.pack("<2I2Q", 7, c.id, *limits)) if any(limits) else 0


def vectors_hash(vectors):
    """field: bytes of its vector"""
    return sum(xxhash.xxh3_128_intdigest(vector, seed=number) for number, vector in vectors.items()) % 2**128


def record_terms(collection_id, key, record):
    """The terms of a record's vector, of its metadata and of its payload."""
    total = hash128(struct.pack("<2I", 2, collection_id) + stored128(record.vector) + key)
    if record.metadata:
        total += hash128(struct.pack("<2I", 3, collection_id) + stored128(hash128(record.metadata)) + key)
    if record.payload:
        total += hash128(struct.pack("<2I", 8, collection_id) + stored128(hash128(payload_head(record.payload))) + key)
    return total


def payload_head(payload):
    """The value with number 0 of a payload (section 4)."""
    pieces = [payload[at:at + PIECE] for at in range(0, len(payload), PIECE)]
    total = sum(hash128(struct.pack("<2I", n, 0) + stored128(hash128(piece))) for n, piece in enumerate(pieces))
    return struct.pack("<Q", len(payload)) + stored128(total % 2**128)


def records_digest(c):
    return sum(record_terms(c.id, *item) for item in c.records.items()) % 2**128


def key_bytes(space, kind, value):
    """A key in the tree of keys (section 4)."""
    return (b"\1" + space.to_bytes(4, "big") if space else b"\0") + bytes([kind]) + value


def key_parts(key, thing):
    """namespace, type, value of a key in the tree."""
    at = 5 if key[:1] == b"\1" else 1
    expect(len(key) > at + 1 and key[0] <= 1, f"{thing}: key", key.hex(), "namespace, type, value")
    space, kind, value = int.from_bytes(key[1:at], "big"), key[at], key[at + 1:]
    expect(space or at == 1, f"{thing}: namespace", space, "another one than 0")
    verify_key(kind, value, thing)
    return space, kind, value


def verify_key(kind, value, thing):
    sizes = {NUMBER: range(8, 9), BYTES: range(1, 1025), UUID: range(16, 17)}
    expect(kind in sizes, f"{thing}: type of the key", kind, "1 to 3")
    expect(len(value) in sizes[kind], f"{thing}: bytes of the key", len(value), f"{sizes[kind]}")


def key_text(key):
    space, kind, value = key_parts(key, "key")
    text = str(int.from_bytes(value, "big")) if kind == NUMBER else ("bytes:", "uuid:")[kind - BYTES] + value.hex()
    return f"{space}/{text}" if space else text


def note_term(collection_id, key, value):
    return hash128(struct.pack("<2I", 4, collection_id) + stored128(hash128(value)) + key)


def stored128(number):
    return number.to_bytes(16, "little")


@dataclass
class Record:
    slot: int
    vector: int  # the sum of XXH3-128 of its vectors
    metadata: bytes
    payload: bytes = b""


@dataclass
class VectorField:
    dim: int
    type: int
    metric: int
    optional: int
    name: bytes
    index: bytes

    def verify(self, thing):
        expect(self.dim > 0, f"{thing}: dim", self.dim, "1 or more")
        expect(self.type in TYPES, f"{thing}: element type", self.type, "1 to 6")
        expect(self.metric in METRICS, f"{thing}: metric", self.metric, "1 to 6")
        expect((self.metric >= 5) == (self.type == 6), f"{thing}: metric", METRICS[self.metric],
               f"one for {TYPES[self.type][0]}")
        expect(self.optional <= 1, f"{thing}: optional", self.optional, "0 or 1")
        expect(0 < len(self.name) < 64, f"{thing}: bytes of the name", len(self.name), "1 to 63")
        text_of(self.name, f"{thing}: name")
        text_of(self.index, f"{thing}: index description")

    def vector_bytes(self):
        return -(-self.dim * TYPES[self.type][1] // 8)

    def code_kind(self):
        """Bits of a level of its codes, 16 f16, 17 bf16, 0: it has none."""
        found = re.fullmatch(rb"flat\(codes=(rq[1248]|b?f16)\)", self.index)
        has_codes = found and self.metric in (L2, IP, COSINE) and TYPES[self.type][0] != "bit"
        return CODES[found[1]] if has_codes else 0

    def code_bytes(self):
        return -(-self.dim // 64) * 64 * min(self.code_kind(), 16) // 8 + 16

    def code_length(self, row):
        """Of a row of halves."""
        code = row[:-16]
        numbers = struct.unpack(f"<{len(code) // 2}e", code) if self.code_kind() == 16 else bf16_numbers(code)
        return sum(a * a for a in numbers) ** 0.5

    def numbers(self, row):
        """The elements of a vector that is no bits."""
        if TYPES[self.type][0] == "bf16":
            return bf16_numbers(row)
        letter = {"f32": "f", "u8": "B", "f16": "e", "i8": "b"}[TYPES[self.type][0]]
        return struct.unpack(f"<{self.dim}{letter}", row)

    def listing(self):
        return (f"{self.name.decode()} dim={self.dim} type={TYPES[self.type][0]} metric={METRICS[self.metric]} "
                f"index={self.index.decode()}")


@dataclass
class Collection:
    id: int
    created: int
    name: bytes
    fields: list
    records: dict = field(default_factory=dict)  # key, as in the tree of keys: Record
    slots: dict = field(default_factory=dict)  # slot: key of the record that it holds
    slot_end: int = 0
    last_number: int = 0
    max_records: int = 0
    max_bytes: int = 0
    changed: int = 0

    def count_number(self, key):
        _, kind, value = key_parts(key, "key")
        if kind == NUMBER:
            self.last_number = max(self.last_number, int.from_bytes(value, "big"))

    def verify(self, thing):
        expect(0 < len(self.name) < 256, f"{thing}: bytes of the name", len(self.name), "1 to 255")
        text_of(self.name, f"{thing}: name")
        expect(1 <= len(self.fields) <= 8, f"{thing}: vector fields", len(self.fields), "1 to 8")
        for number, f in enumerate(self.fields):
            f.verify(f"{thing}: field {number}")
        names = [f.name for f in self.fields]
        expect(len(set(names)) == len(names), f"{thing}: names of fields", names, "different ones")

    def verify_vectors(self, vectors, thing):
        for number, f in enumerate(self.fields):
            if number in vectors:
                equal(f"{thing}: field {number}: bytes of the vector", len(vectors[number]), f.vector_bytes())
            expect(number in vectors or f.optional, f"{thing}: field {number}", "no vector", "one")
        expect(set(vectors) <= set(range(len(self.fields))), f"{thing}: fields", sorted(vectors), "those there are")


@dataclass
class State:
    """All content at some moment; sum is its digest, kept along with every change."""
    lsn: int = 0
    last_id: int = 0
    collections: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)  # (collection id, key): value
    aliases: dict = field(default_factory=dict)  # name: collection id
    sum: int = 0

    def add(self, term):
        self.sum = (self.sum + term) % 2**128

    def digest(self):
        """Of the content as it stands, without the sum that was kept."""
        total = sum(note_term(*where, value) for where, value in self.notes.items())
        total += sum(name_term(name, of, True) for name, of in self.aliases.items())
        for c in self.collections.values():
            total += collection_term(c) + records_digest(c)
        return total % 2**128

    def listing(self):
        for _, c in sorted(self.collections.items()):
            first = c.fields[0].listing().partition(" ")[2]
            yield f"collection {c.id} {c.name.decode()} {first} created={c.created} count={len(c.records)}"
            for number, f in enumerate(c.fields[1:], 1):
                yield f"field {c.id} {number} {f.listing()} optional={f.optional}"
            for key, r in sorted(c.records.items()):
                metadata = json.dumps(text_of(r.metadata, f"metadata of {key_text(key)}")) if r.metadata else "-"
                payload = f" payload={len(r.payload)}:{hash128(r.payload):032x}" if r.payload else ""
                yield f"record {c.id} {key_text(key)} {r.vector:032x} {metadata}{payload}"
        for name, of in sorted(self.aliases.items()):
            yield f"alias {of} {name.decode()}"
        for (collection_id, key), value in sorted(self.notes.items(), key=lambda note: note_key(*note[0])):
            yield f"note {collection_id} {key.hex()} {value.hex()}"


def note_key(collection_id, key):
    """The key of a note in the tree of notes (section 4)."""
    return struct.pack("<IH", collection_id, len(key)) + key


# ---- the data file: meta pages (section 2) ----------------------------------------------------------

@dataclass
class Reference:
    page: int
    pages: int
    checkpoint: int
    kind: int
    codec: int
    level: int
    hash: int


def parse_reference(fields):
    where, checkpoint, kind, codec, level, _, digest = fields.take("QIBBBBQ")
    thing = f"{fields.thing}: reference"
    expect(kind < len(KINDS), f"{thing}: kind", kind, "0 to 4")
    expect(codec <= (ZSTD if kind == BLOB else PLAIN), f"{thing}: codec", codec, "0, or 1 of a blob")
    if kind == 0:
        equal(f"{thing} of kind 0: its values", (where, checkpoint, level, digest), (0, 0, 0, 0))
    else:
        expect(where >> 40, f"{thing}: pages", 0, "1 or more")
    return Reference(where & (1 << 40) - 1, where >> 40, checkpoint, kind, codec, level, digest)


@dataclass
class Checkpoint:
    number: int
    lsn: int
    chain: int
    first_log: int  # 0: there is no such checkpoint
    pages: int
    entries: int
    digest: int
    catalog: Reference
    free: Reference


def parse_checkpoint(fields):
    return Checkpoint(*fields.take("6Q"), fields.hash128(), parse_reference(fields), parse_reference(fields))


@dataclass
class Meta:
    uuid: bytes
    sequence: int
    generation: int
    durable: int
    created: int
    needed: int
    trailer: int  # bytes at the end of every extent
    last: Checkpoint
    before: Checkpoint


def page_is_valid(page):
    return page[:16] == MAGIC and page[4080:] == stored128(hash128(page[:4080]))


def verify_version(fields):
    version = fields.take("HH")
    what = "VS_ERR_TOO_OLD" if version < VERSION else "VS_ERR_TOO_NEW"
    expect(version == VERSION, f"{fields.thing}: version", "%d.%d (%s)" % (*version, what), "0.4")


def parse_meta(page, thing):
    fields = Fields(page, thing, 16)
    verify_version(fields)
    equal(f"{thing}: bytes of the page", fields.take("I"), PAGE)
    needed = fields.take("QQQ")[2]  # compatible and read-only features do not concern a reader
    known = NEEDS_ZSTD | NEEDS_TRAILERS
    expect(not needed & ~known, f"{thing}: needed features", hex(needed), f"of {known:#x} (VS_ERR_TOO_NEW)")
    uuid = fields.raw(16)
    sequence, generation, durable, created, trailer = fields.take("QQQqH")
    equal(f"{thing}: trailer bytes", trailer, TRAILER if needed & NEEDS_TRAILERS else 0)
    last = parse_checkpoint(Fields(page[:240], f"{thing}: the last checkpoint", 128))
    before = parse_checkpoint(Fields(page[:368], f"{thing}: the checkpoint before", 256))
    return Meta(uuid, sequence, generation, durable, created, needed, trailer, last, before)


class DataFile:
    def __init__(self, path):
        self.path, self.file = path, open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size

    def read(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def log_path(self, generation):
        return f"{self.path}-wal-{generation}"

    def choose_meta(self, fsck):
        """The meta page that counts; None: the database was never completely created."""
        valid = {}
        for name, offset in (("meta page A", 0), ("meta page B", PAGE_B)):
            page = self.read(offset, PAGE)
            if page_is_valid(page):
                valid[name] = parse_meta(page, name)
        if not valid:
            return self.without_meta()
        expect(self.size >= PAGE_B + PAGE, "data file: bytes", self.size, f"{PAGE_B + PAGE} or more")
        if fsck:
            self.verify_both(valid)
        meta = max(valid.values(), key=lambda meta: meta.sequence)
        size = meta.last.pages * PAGE
        expect(self.size >= size, "data file: bytes", self.size, f"{size} or more: it is truncated")
        return meta

    def without_meta(self):
        if self.size <= PAGE_B + PAGE and not any(self.read(0, PAGE_B)):
            expect(not os.path.exists(self.log_path(1)), "data file", "zeros", f"content: {self.log_path(1)} exists")
            return None
        pages = (self.read(0, 16), self.read(PAGE_B, 16))
        expect(MAGIC not in pages, "meta pages", "two that do not verify", "one that does")
        raise Damage(f"data file: found no magic, expected {MAGIC!r} (VS_ERR_NOT_DB)")

    @staticmethod
    def verify_both(valid):
        for name in ("meta page A", "meta page B"):
            expect(name in valid, name, "a wrong magic or checksum", "a valid page")
        a, b = valid.values()
        equal("meta pages: UUID of B, beside A's", b.uuid.hex(), a.uuid.hex())
        expect(a.sequence != b.sequence, "meta pages: sequence numbers", "the same", "two")


# ---- the data file: extents, trees and content (sections 3 and 4) -----------------------------------

def parse_node(data, thing, level):
    """The entries of a node: (key, value, references), in order; data ends before the trailer."""
    found, count, lowest, total, trailer = struct.unpack_from("<5H", data)
    equal(f"{thing}: trailer bytes", trailer, PAGE - len(data))
    equal(f"{thing}: level", found, level)
    expect(1 <= count <= (PAGE - 16) // 2, f"{thing}: number of entries", count, "1 to 2040")
    entries, places = [], []
    for offset in struct.unpack_from(f"<{count}H", data, 16):
        fields = Fields(data, f"{thing}: entry at {offset}", offset)
        expect(offset >= 16 + 2 * count, fields.thing, offset, "an offset behind the offsets")
        key_bytes, bits = fields.take("HH")
        key, value = fields.raw(key_bytes), fields.raw(bits & 4095)
        references = [parse_reference(fields) for _ in range(bits >> 12)]
        size = fields.place - offset + 2
        expect(size <= ENTRY_MAX + 24 * (level > 0), fields.thing, f"{size} bytes", f"at most {ENTRY_MAX}")
        entries.append((key, value, references))
        places.append((offset, fields.place))
    expect(lowest <= min(places)[0], f"{thing}: an entry", f"at {min(places)[0]}", f"{lowest} or more")
    equal(f"{thing}: sum of the entries", total, sum(end - start + 2 for start, end in places))
    places.sort()
    for (_, end), (start, _) in zip(places, places[1:]):
        expect(end <= start, f"{thing}: entries", f"one at {start} that overlaps", f"{end} or more")
    return entries


def pages_for(size, trailer):
    return -(-(size + trailer) // PAGE)


class Walk:
    """Reads what a checkpoint reaches, and keeps which pages that are."""

    def __init__(self, data_file, checkpoint, meta, fsck):
        self.file, self.checkpoint, self.fsck = data_file, checkpoint, fsck
        self.needed, self.trailer = meta.needed, meta.trailer
        self.used = {}  # page: what it is used for

    def extent(self, ref, kind, thing, pages=None):
        """The content that a reference leads to, verified; the trailer is not part of it."""
        thing = f"{thing}: {KINDS[kind]} at page {ref.page}"
        equal(f"{thing}: kind", KINDS[ref.kind], KINDS[kind])
        end = ref.page + ref.pages
        expect(FIRST_PAGE <= ref.page and end <= self.checkpoint.pages, thing, f"pages {ref.page} to {end - 1}",
               f"pages {FIRST_PAGE} to {self.checkpoint.pages - 1}")
        expect(pages in (None, ref.pages), f"{thing}: pages", ref.pages, pages)
        data = self.file.read(ref.page * PAGE, ref.pages * PAGE)
        equal(f"{thing}: bytes in the file", len(data), ref.pages * PAGE)
        equal(f"{thing}: hash", f"{hash64(data, ref.page):016x}", f"{ref.hash:016x}")
        if self.fsck:
            self.verify_reference(ref, thing)
        content = len(data) - self.trailer
        self.zeros(data, content, thing)
        return data[:content]

    def verify_reference(self, ref, thing):
        for page in range(ref.page, ref.page + ref.pages):
            expect(page not in self.used, f"page {page}", f"{self.used.get(page)} and {thing}", "one use")
            self.used[page] = thing
        expect(ref.checkpoint <= self.checkpoint.number, f"{thing}: written by checkpoint", ref.checkpoint,
               f"at most {self.checkpoint.number}")
        expect(ref.kind == NODE or ref.level == 0, f"{thing}: level", ref.level, 0)

    def zeros(self, data, place, thing):
        """The rest of an extent is zero."""
        expect(not self.fsck or not any(data[place:]), f"{thing}: behind its {place} bytes", "no zeros", "zeros")

    def node(self, ref, thing):
        expect(ref.level <= 31, f"{thing}: level", ref.level, "at most 31")
        data = self.extent(ref, NODE, thing, 1)
        return parse_node(data, f"{thing}: node at page {ref.page}", ref.level)

    def child(self, entry, level, thing):
        _, value, references = entry
        expect(not value and len(references) == 1, f"{thing}: entry of an inner node",
               f"{len(value)} bytes and {len(references)} references", "no value, one reference")
        equal(f"{thing}: level of a child", references[0].level, level - 1)
        return references[0]

    def tree(self, ref, thing, count=None):
        """All entries of a tree in the order of their keys."""
        found = 0
        for entry in self.subtree(ref, thing, b"", None) if ref.kind else ():
            found += 1
            yield entry
        expect(count in (None, found), f"{thing}: entries", found, count)

    def subtree(self, ref, thing, low, high):
        """The entries of a node and below: keys from low up to, not including, high; None: no bound."""
        entries = self.node(ref, thing)
        keys = [entry[0] for entry in entries]
        if ref.level:
            keys[0] = low  # the first key of an inner node is not compared
        in_order = all(a < b for a, b in zip(keys, keys[1:])) and low <= keys[0] and (high is None or keys[-1] < high)
        expect(in_order, f"{thing}: node at page {ref.page}: keys", [key.hex() for key in keys],
               f"ascending ones from {low.hex()} up to {high and high.hex()}")
        if not ref.level:
            yield from entries
            return
        for i, entry in enumerate(entries):
            child = self.child(entry, ref.level, thing)
            yield from self.subtree(child, thing, keys[i], (keys + [high])[i + 1])

    def find(self, ref, wanted, thing):
        """One entry of a tree, reading only the nodes on the way."""
        while ref.kind:
            entries = self.node(ref, thing)
            if not ref.level:
                return next((entry for entry in entries if entry[0] == wanted), None)
            below = [entry for entry in entries[1:] if entry[0] <= wanted]
            ref = self.child(below[-1] if below else entries[0], ref.level, thing)
        return None

    # What the catalog leads to.

    def value(self, key, value, references, thing):
        """The bytes of a value: inline or in a blob."""
        fields = Fields(value, thing)
        size, digest = fields.take("I"), fields.hash128()
        inline = 4 + len(key) + 20 + size + 2 <= ENTRY_MAX
        equal(f"{thing}: references", len(references), 0 if inline else 1)
        if inline:
            data = fields.raw(size)
        else:
            data = self.blob(references[0], size, thing)
        fields.end()
        equal(f"{thing}: hash", f"{hash128(data):032x}", f"{digest:032x}")
        return data

    def blob(self, ref, size, thing):
        extent = self.extent(ref, BLOB, thing)
        fields = Fields(extent, f"{thing}: blob")
        found, stored = fields.take("II")
        equal(f"{thing}: blob: bytes", found, size)
        if ref.codec == PLAIN:
            equal(f"{thing}: blob: bytes stored", stored, size)
        equal(f"{thing}: blob: pages", ref.pages, self.blob_pages(stored))
        data = fields.raw(stored)
        self.zeros(extent, fields.place, f"{thing}: blob")
        return data if ref.codec == PLAIN else self.unpacked(data, size, f"{thing}: blob at page {ref.page}")

    def blob_pages(self, stored):
        return pages_for(8 + stored, self.trailer)

    def unpacked(self, data, size, thing):
        """A compressed value (section 3)."""
        expect(self.needed & NEEDS_ZSTD, f"{thing}: needed features", "none", "0x1, for it is compressed")
        expect(size <= VALUE_MAX, f"{thing}: bytes of a compressed value", size, f"at most {VALUE_MAX}")
        pages, plain = self.blob_pages(len(data)), self.blob_pages(size)
        expect(pages < plain, f"{thing}: pages", pages, f"fewer than {plain}")
        expect(zstandard, f"{thing}", "a compressed value", "python3-zstandard to read it")
        expect(data[:4] == b"\x28\xb5\x2f\xfd", f"{thing}: magic of the frame", data[:4].hex(), "28b52ffd")
        try:
            equal(f"{thing}: size in the frame", zstandard.frame_content_size(data), size)
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            value = unpacker.decompress(data)
        except zstandard.ZstdError as error:
            raise Damage(f"{thing}: found {error}, expected a zstd frame") from None
        equal(f"{thing}: bytes behind the frame", len(unpacker.unused_data), 0)
        equal(f"{thing}: bytes of the value", len(value), size)
        return value

    def slabs(self, ref, thing, count, row_sizes):
        """(array, number of a slab): its bytes; row_sizes has those of the arrays"""
        slabs = {}
        for key, value, references in self.tree(ref, thing, count):
            equal(f"{thing}: an entry's key, value, references", (len(key), value, len(references)), (6, b"", 1))
            array, number = int.from_bytes(key[:2], "big"), int.from_bytes(key[2:], "big")
            expect(array in row_sizes, f"{thing}: array", array, f"one of {sorted(row_sizes)}")
            size = row_sizes[array] << slab_shift(row_sizes[array], self.trailer)
            where = f"{thing}: slab {number} of array {array}"
            slabs[array, number] = self.extent(references[0], SLAB, where, pages_for(size, self.trailer))
            self.zeros(slabs[array, number], size, where)
        return slabs

    def sets(self, ref, thing, count):
        """set: its slots"""
        sets = {}
        for key, value, references in self.tree(ref, thing, count):
            equal(f"{thing}: an entry's key, value, references", (len(key), len(value), references), (6, 512, []))
            bits = int.from_bytes(value, "little")
            first = int.from_bytes(key[2:], "big") * 4096
            slots = sets.setdefault(int.from_bytes(key[:2], "big"), set())
            slots.update(first + bit for bit in range(4096) if bits >> bit & 1)
        return sets

    def metadata(self, ref, thing, count):
        """slot: metadata"""
        values = {}
        for key, value, references in self.tree(ref, thing, count):
            equal(f"{thing}: bytes of a key", len(key), 4)
            slot = int.from_bytes(key, "big")
            values[slot] = self.value(key, value, references, f"{thing}: slot {slot}")
        return values

    def payloads(self, ref, thing, count):
        """key of a record: its payload"""
        values = {}
        for key, value, references in self.tree(ref, thing, count):
            expect(len(key) > 4, f"{thing}: bytes of a key", len(key), "more than 4")
            number = int.from_bytes(key[-4:], "big")
            values.setdefault(key[:-4], {})[number] = self.value(key, value, references, f"{thing}: {key.hex()}")
        payloads = {}
        for key, entries in values.items():
            where = f"{thing}: {key_text(key)}"
            equal(f"{where}: numbers", sorted(entries), list(range(len(entries))))
            payloads[key] = b"".join(entries[n] for n in range(1, len(entries)))
            equal(f"{where}: pieces", [len(entries[n]) for n in range(1, len(entries))],
                  [len(payloads[key][at:at + PIECE]) for at in range(0, len(payloads[key]), PIECE)])
            equal(f"{where}: number 0", entries[0].hex(), payload_head(payloads[key]).hex())
            expect(payloads[key], where, "no bytes", "no entry")
        return payloads

    def long_keys(self, ref, thing, count):
        """slot: value of its key"""
        keys = {}
        for key, value, references in self.tree(ref, thing, count):
            equal(f"{thing}: bytes of a key, references", (len(key), references), (4, []))
            keys[int.from_bytes(key, "big")] = value
        return keys

    def field(self, entries, collection_id, number):
        thing = f"collection {collection_id}: field {number}"
        key = b"\1" + collection_id.to_bytes(4, "big") + number.to_bytes(2, "big")
        expect(key in entries, thing, "no entry", "one")
        value, references = entries[key]
        equal(f"{thing}: references", references, [])
        fields = Fields(value, thing)
        dim, element, metric, shift, optional, name_bytes, index_bytes = fields.take("I4B2H")
        f = VectorField(dim, element, metric, optional, fields.raw(name_bytes), fields.raw(index_bytes))
        fields.end()
        f.verify(thing)
        equal(f"{thing}: shift", shift, slab_shift(f.vector_bytes(), self.trailer))
        return f

    def collection(self, key, entries):
        value, references = entries[key]
        collection_id = int.from_bytes(key[1:], "big")
        thing = f"collection {collection_id}"
        fields = Fields(value, thing)
        created, records, last_number, slot_end, field_count, cell_shift, coded = fields.take("qQQIHBB")
        counts = fields.take("6Q")
        total_bytes, max_records, max_bytes = fields.take("3Q")
        digest, changed = fields.hash128(), fields.take("q")
        fields.end()
        expect(1 <= field_count <= 8, f"{thing}: vector fields", field_count, "1 to 8")
        own = key + b"\xff\xff"
        expect(own in entries, f"{thing}: name", "no entry", "one")
        c = Collection(collection_id, created, entries[own][0],
                       [self.field(entries, collection_id, number) for number in range(field_count)],
                       max_records=max_records, max_bytes=max_bytes, changed=changed)
        c.verify(thing)
        equal(f"{thing}: shift of cells", cell_shift, slab_shift(CELL_BYTES, self.trailer))
        c.slot_end, c.last_number = slot_end, last_number
        equal(f"{thing}: references", len(references), len(TREES))
        trees = {name: (references[i], f"{thing}: {name}", counts[i]) for i, name in enumerate(TREES)}
        row_sizes = {0: CELL_BYTES} | {1 + i: f.vector_bytes() for i, f in enumerate(c.fields)}
        code_sizes = {9 + i: f.code_bytes() for i, f in enumerate(c.fields) if f.code_kind()}
        slabs = self.slabs(*trees["slabs"], row_sizes | code_sizes)
        codes = self.codes(key, entries, c, coded)
        self.bytes_of_records = 0
        metadata = self.metadata(*trees["metadata"])
        long_keys = self.long_keys(*trees["long keys"])
        payloads = self.payloads(*trees["payloads"])
        sets = self.sets(*trees["live"])
        for array, size in row_sizes.items():
            if slot_end and (array == 0 or not c.fields[array - 1].optional):
                last = (slot_end - 1) >> slab_shift(size, self.trailer)
                expect((array, last) in slabs, f"{thing}: array {array}: slab {last}", "none", "one")
        for record_key, slot_value, _ in self.tree(*trees["keys"]):
            self.record(c, record_key, slot_value, slabs, sets, metadata, long_keys, codes)
        for record_key, payload in payloads.items():
            expect(record_key in c.records, f"{thing}: payload of {key_text(record_key)}", "no record", "one")
            c.records[record_key].payload = payload
            self.bytes_of_records += len(payload)
        expect(set(long_keys) <= set(c.slots), f"{thing}: long keys", sorted(set(long_keys) - set(c.slots)),
               "slots of records")
        equal(f"{thing}: records", len(c.records), records)
        equal(f"{thing}: bytes", self.bytes_of_records, total_bytes)
        equal(f"{thing}: digest of its records", f"{records_digest(c):032x}", f"{digest:032x}")
        self.verify_slots(c, sets.pop(0, set()), metadata, thing)
        for number, slots in sets.items():
            expect(1 <= number <= field_count and c.fields[number - 1].optional, f"{thing}: set", number,
                   "one of an optional field")
            expect(slots <= set(c.slots), f"{thing}: set {number}", sorted(slots - set(c.slots)), "slots of records")
        return c

    def codes(self, key, entries, c, coded):
        """number of a field: mean of its codes; of those that have codes"""
        means = {}
        for number, f in enumerate(c.fields):
            thing = f"collection {c.id}: field {number}: parameters of codes"
            own = key + (256 + number).to_bytes(2, "big")
            expect(not coded >> number & 1 or f.code_kind(), thing, f.index, "a description that asks for codes")
            if not coded >> number & 1:
                continue
            expect(own in entries, thing, "no entry", "one")
            block = Fields(self.value(own, *entries[own], thing), thing)
            version, kind, metric, zeros, dim, zero, _ = block.take("IBBHIIQ")
            equal(f"{thing}: version, zeros", (version, zeros, zero), (1, 0, 0))
            equal(f"{thing}: kind, metric, dim", (kind, metric, dim), (f.code_kind(), f.metric, f.dim))
            means[number] = struct.unpack(f"<{dim}f", block.raw(4 * dim))
            block.end()
        return means

    def verify_code(self, f, row, vector, mean, thing):
        base, length, error, inverse = struct.unpack("<4f", row[-16:])
        numbers, square = f.numbers(vector), sum(a * a for a in mean)
        norm = sum(a * a for a in numbers) ** 0.5
        if f.metric == COSINE and norm:
            numbers = [a / norm for a in numbers]
        rest = sum((a - b) ** 2 for a, b in zip(numbers, mean))
        expected = {L2: rest, COSINE: rest / 2 if norm else (1 + square) / 2,
                    IP: square / 2 - sum(a * b for a, b in zip(numbers, mean))}[f.metric]
        scale = square + rest
        expect(base == float("inf") or abs(base - expected) <= 1e-4 * scale, f"{thing}: base", base, expected)
        expect(base == float("inf") or abs(length ** 2 + error ** 2 - rest) <= 1e-3 * rest + 1e-20,
               f"{thing}: length and error", (length, error), f"squares of the sum {rest}")
        if f.code_kind() >= 16 and length:
            own = f.code_length(row)
            expect(8192 * 0.99 <= own <= 16384 * 1.01, f"{thing}: its length", own, "8192 to 16384")
            expect(abs(own * inverse - 1) <= 1e-5, f"{thing}: inverse", inverse, 1 / own)

    def record(self, c, key, value, slabs, sets, metadata, long_keys, codes):
        space, kind, content = key_parts(key, f"collection {c.id}: keys")
        slot = Fields(value, "slot").take("I")
        thing = f"collection {c.id}: record {key_text(key)} in slot {slot}"
        expect(slot < c.slot_end, thing, slot, f"a slot below {c.slot_end}")
        expect(slot not in c.slots, thing, f"record {c.slots.get(slot)} there as well", "one record")
        cell = Fields(self.row(slabs, 0, slot, CELL_BYTES, f"{thing}: cell"), f"{thing}: cell")
        vectors = {number: self.row(slabs, 1 + number, slot, f.vector_bytes(), f"{thing}: field {number}")
                   for number, f in enumerate(c.fields) if not f.optional or slot in sets.get(1 + number, ())}
        for number in set(codes) & set(vectors):
            f = c.fields[number]
            code = self.row(slabs, 9 + number, slot, f.code_bytes(), f"{thing}: code {number}")
            self.verify_code(f, code, vectors[number], codes[number], f"{thing}: code {number}")
        number = int.from_bytes(content, "big") if kind == NUMBER else 0
        equal(f"{thing}: number in its cell", cell.take("Q"), number)
        expect(number <= c.last_number, f"{thing}: largest number", c.last_number, "one not below it")
        equal(f"{thing}: its long key", long_keys.get(slot), content if kind != NUMBER else None)
        equal(f"{thing}: hash of its vectors", f"{vectors_hash(vectors):032x}", f"{cell.hash128():032x}")
        equal(f"{thing}: namespace and type in its cell", cell.take("II"), (space, kind))
        c.records[key] = Record(slot, vectors_hash(vectors), metadata.get(slot, b""))
        c.slots[slot] = key
        self.bytes_of_records += len(content) + sum(map(len, vectors.values())) + len(metadata.get(slot, b""))

    def row(self, slabs, array, slot, row_bytes, thing):
        """The row of a slot; all slabs of an array have one size."""
        shift = slab_shift(row_bytes, self.trailer)
        expect((array, slot >> shift) in slabs, thing, f"no slab {slot >> shift}", "one")
        place = (slot & (1 << shift) - 1) * row_bytes
        return slabs[array, slot >> shift][place:place + row_bytes]

    @staticmethod
    def verify_slots(c, live, metadata, thing):
        odd = sorted(live ^ set(c.slots))
        expect(not odd, f"{thing}: slot {odd[:1]}", "a key or a live bit alone", "both or none")
        odd = sorted(set(metadata) - live)
        expect(not odd, f"{thing}: slot {odd[:1]}", "metadata without a record", "a record")
        expect(all(metadata.values()), f"{thing}: metadata", "an empty value", "no entry")

    def state(self):
        """All content of the checkpoint."""
        state, names, notes = State(self.checkpoint.lsn), {}, None
        entries = {key: (value, references) for key, value, references in
                   self.tree(self.checkpoint.catalog, "catalog", self.checkpoint.entries)}
        for key, (value, references) in entries.items():
            if key[:1] == b"\1" and len(key) == 5:
                c = self.collection(key, entries)
                state.collections[c.id] = c
            elif key[:1] == b"\1" and len(key) == 7:
                number, of = int.from_bytes(key[5:], "big"), int.from_bytes(key[1:5], "big")
                fields = len(state.collections[of].fields) if of in state.collections else 0
                expect(fields and (number == 0xffff or number < fields or 256 <= number < 256 + fields),
                       f"catalog: field {number} of collection {of}", "an entry", "a collection that has it")
            elif key[:1] == b"\2":
                name = Fields(value, f"name {key[1:]!r}")
                of, is_alias = name.take("I"), len(value) == 5
                equal(f"name {key[1:]!r}: alias", name.take("B") if is_alias else 1, 1)
                name.end()
                expect(of in state.collections, f"name {key[1:]!r}", of, "a collection")
                (state.aliases if is_alias else names)[key[1:]] = of
            elif key == b"\3":
                notes = Fields(value, "catalog: entry 03"), references
            else:
                raise Damage(f"catalog: found an entry {key.hex()}, expected 01 and an id, or a field behind it, 02 and a name, or 03")
        equal("catalog: names", names, {c.name: c.id for c in state.collections.values()})
        if self.checkpoint.catalog.kind:
            expect(notes, "catalog", "no entry 03", "one")
            self.read_notes(state, *notes)
        state.sum = state.digest()
        equal("digest of the checkpoint", f"{state.sum:032x}", f"{self.checkpoint.digest:032x}")
        return state

    def read_notes(self, state, fields, references):
        count, state.last_id = fields.take("QI")
        equal("catalog: entry 03: references", len(references), 1)
        for key, value, refs in self.tree(references[0], "notes", count):
            head = Fields(key, "notes: key")
            collection_id, size = head.take("IH")
            where = (collection_id, head.raw(size))
            head.end()
            verify_note(state, *where)
            state.notes[where] = self.value(key, value, refs, f"note {key.hex()}")
        last = max(state.collections, default=0)
        expect(last <= state.last_id, "catalog: largest collection id", state.last_id, f"{last} or more")

    def free_pages(self):
        """The two lists of runs: free, dying."""
        if not self.checkpoint.free.kind:
            return [], []
        extent = self.extent(self.checkpoint.free, FREE, "checkpoint")
        fields = Fields(extent, "list of free pages")
        counts = fields.take("QQ")
        runs = [[fields.take("QQ") for _ in range(count)] for count in counts]
        self.zeros(extent, fields.place, "list of free pages")
        return runs


def slab_shift(row_bytes, trailer):
    shift = 0
    while True:
        size = row_bytes << shift
        if size >= 16384 and pages_for(size, trailer) * PAGE - size <= size / 16:
            return shift
        shift += 1


def verify_note(state, collection_id, key):
    expect(collection_id in (0, TOKEN_RING, TOKENS) or collection_id in state.collections,
           f"note {key.hex()}: collection", collection_id, "0, one that exists, or those of tokens")


def verify_tokens(notes, lsn):
    """The notes that are tokens agree with each other (section 4)."""
    tokens = {key: value for (of, key), value in notes.items() if of == TOKENS}
    ring = {key: value for (of, key), value in notes.items() if of == TOKEN_RING}
    count = int.from_bytes(ring.pop(b"\0", bytes(8)), "little")
    places = [struct.pack("<I", n) for n in range(min(count, TOKENS_MAX))]
    equal("tokens: places", sorted(ring), sorted(places))
    equal("tokens: those at the places", sorted(ring.values()), sorted(tokens))
    for token, value in tokens.items():
        expect(1 <= len(token) <= TOKEN_BYTES_MAX, "tokens: bytes of one", len(token), f"1 to {TOKEN_BYTES_MAX}")
        equal(f"token {token.hex()}: bytes of its LSN", len(value), 8)
        found = int.from_bytes(value, "little")
        expect(1 <= found <= lsn, f"token {token.hex()}: LSN", found, f"1 to {lsn}")


# ---- log files (sections 5 and 6) -------------------------------------------------------------------

@dataclass
class Frame:
    kind: int
    lsn: int
    transaction: int
    durable: int
    chain: int
    payload: bytes
    end: int


class LogFile:
    def __init__(self, path):
        self.path = self.thing = path
        with open(path, "rb") as file:
            self.data = file.read()
        fields = Fields(self.data[:PAGE], path)
        self.has_header = len(self.data) >= PAGE and fields.raw(16) == LOG_MAGIC and (
            hash64(self.data[:4088]) == struct.unpack_from("<Q", self.data, 4088)[0])
        if not self.has_header:
            return
        self.hash = struct.unpack_from("<Q", self.data, 4088)[0]
        verify_version(fields)
        equal(f"{path}: bytes of the header", fields.take("I"), PAGE)
        self.uuid = fields.raw(16)
        self.generation, self.start, self.previous, self.previous_chain = fields.take("4Q")
        self.salt, self.created, self.pad = fields.take("QqI")

    def verify(self, uuid, generation):
        expect(self.has_header, f"{self.path}: header", "a wrong magic or hash", "one that verifies")
        equal(f"{self.path}: UUID", self.uuid.hex(), uuid.hex())
        equal(f"{self.path}: generation", self.generation, generation)
        expect(self.start >= 1, f"{self.path}: start LSN", self.start, "1 or more")
        expect(self.previous < generation, f"{self.path}: previous generation", self.previous,
               f"below {generation}")
        expect(self.pad in (64 << n for n in range(11)), f"{self.path}: pad", self.pad,
               "a power of two from 64 to 65536")

    def header_at(self, place):
        """The fields of a frame's header when one of a known kind verifies there, else None."""
        data = self.data[place:place + 64]
        if len(data) < 64:
            return None
        values = struct.unpack("<IIQQQqQQQ", data)
        known = values[1] in (CONT, COMMIT, MARK)
        return values if known and values[8] == hash64(data[:56], self.salt) else None

    def frame_at(self, place, lsn, chain):
        """The frame there if it counts behind the frame with this LSN and this chain."""
        header = self.header_at(place)
        if not header:
            return None
        size, kind, number, transaction, durable, _, digest, own_chain, _ = header
        payload = self.data[place + 64:place + 64 + size]
        mark = kind == MARK
        good = (number == lsn + (not mark) and durable < number + mark
                and own_chain == hash64(self.data[place:place + 48], chain)
                and len(payload) == size <= (0 if mark else PAYLOAD_MAX)
                and digest == (0 if mark else hash64(payload, number)))
        end = place + 64 + -(-size // 64) * 64
        return Frame(kind, number, transaction, durable, own_chain, payload, end) if good else None

    def frames(self):
        """All frames that count; then self.end is where reading ended and self.next is the LSN missing there."""
        self.end, self.next, chain = PAGE, self.start, self.hash
        while True:
            at_pad = -(-self.end // self.pad) * self.pad
            frame = self.frame_at(self.end, self.next - 1, chain) or self.frame_at(at_pad, self.next - 1, chain)
            if not frame:
                return
            self.end, self.next, chain = frame.end, frame.lsn + 1, frame.chain
            yield frame

    def verify_end(self, durable):
        """Frame self.next is missing: nothing says that it was durable."""
        expect(durable < self.next, f"{self.path}: the meta page's durable LSN", durable,
               f"below {self.next}: that frame is lost")
        for at in range(self.end, len(self.data), 64):
            header = self.header_at(at)
            expect(not header or not self.next <= header[4] <= header[2], f"{self.path}: header at {at}: durable LSN",
                   header and header[4], f"below {self.next}: that frame is lost")

    def verify_leftover(self, uuid, generation):
        """The file behind the one that the meta page names: a take-over that was interrupted."""
        if not self.has_header:
            return
        self.verify(uuid, generation)
        for at in range(PAGE, len(self.data), 64):
            header = self.header_at(at)
            if not header:
                continue
            expect(header[1] != MARK, f"{self.path}: header at {at}", "a MARK", "copies of frames only")
            expect(header[4] < self.start, f"{self.path}: header at {at}: durable LSN", header[4],
                   f"below {self.start}, the start LSN")


# ---- operations and recovery (sections 7 and 8) -----------------------------------------------------

class Replay:
    """Applies frames to a state."""

    def __init__(self, state):
        self.state, self.transaction, self.payloads = state, 0, []

    def frame(self, frame, thing):
        self.state.lsn = frame.lsn
        if frame.kind == MARK:
            return
        if frame.transaction != self.transaction:
            self.transaction, self.payloads = frame.transaction, []  # the one before was rolled back
        self.payloads.append(frame.payload)
        if frame.kind == COMMIT:
            self.commit(thing)
            self.transaction, self.payloads = 0, []

    def commit(self, thing):
        last, self.savepoints = None, []
        for i, payload in enumerate(self.payloads):
            fields = Fields(payload, thing)
            while fields.place < len(payload):
                kind, flags, _, size = fields.take("BBHI")
                body = Fields(fields.raw(size), f"{thing}: operation {kind}")
                if CREATE <= kind <= DROP:
                    [self.create, self.put, self.delete, self.note, self.verify_digest, self.savepoint, self.release,
                     self.rollback_to, self.metadata, self.rename, self.alias, self.limits,
                     self.touch, self.payload, self.drop][kind - 1](body)
                    body.end()
                else:
                    expect(not flags & 1, thing, f"operation {kind}", "1 to 15 (VS_ERR_TOO_NEW)")
                at_end = i == len(self.payloads) - 1 and fields.place == len(payload)
                expect((kind == DIGEST) == at_end, thing, f"operation {kind}", "DIGEST at the end, and only there")
                last = kind
        equal(f"{thing}: last operation", last, DIGEST)

    def create(self, body):
        collection_id, created = body.take("Iq")
        name, fields = body.run(), []
        for _ in range(body.take("I")):
            dim, element, metric, optional = body.take("IBBH")
            fields.append(VectorField(dim, element, metric, optional, body.run(), body.run()))
        c = Collection(collection_id, created, name, fields)
        thing = f"{body.thing}: CREATE {collection_id}"
        c.verify(thing)
        expect(self.state.last_id < c.id <= ID_MAX, thing, c.id, f"an id above {self.state.last_id}, at most {ID_MAX}")
        self.new_name(c.name, thing)
        self.state.collections[c.id], self.state.last_id = c, c.id
        self.state.add(collection_term(c))

    def collection_of(self, body):
        collection_id = body.take("I")
        expect(collection_id in self.state.collections, f"{body.thing}: collection", collection_id,
               "one that exists")
        return self.state.collections[collection_id]

    @staticmethod
    def key_of(body):
        space, kind, zero, size = body.take("IBBH")
        value = body.raw(size)
        equal(f"{body.thing}: key: zero", zero, 0)
        verify_key(kind, value, body.thing)
        return key_bytes(space, kind, value[::-1] if kind == NUMBER else value)

    def remove(self, c, key, slot, thing):
        found = c.records[key].slot if key in c.records else NO_SLOT
        expect(found == slot, f"{thing}: record {key}: slot", slot, found)
        if key in c.records:
            payload = c.records[key].payload
            self.state.add(-record_terms(c.id, key, c.records.pop(key)))
            del c.slots[slot]
            return payload
        return b""

    def put(self, body):
        c = self.collection_of(body)
        slot, old = body.take("II")
        key = self.key_of(body)
        vectors, least = {}, 0
        for _ in range(body.take("I")):
            number = body.take("I")
            expect(number >= least, f"{body.thing}: PUT: field", number, f"{least} or more")
            vectors[number], least = body.run(), number + 1
        metadata = body.run()
        c.verify_vectors(vectors, f"{body.thing}: PUT {key_text(key)}")
        expect(slot <= c.slot_end and slot not in c.slots, f"{body.thing}: PUT {key}: slot", slot,
               f"a free one, at most {c.slot_end}")
        payload = self.remove(c, key, old, f"{body.thing}: PUT")
        c.records[key] = Record(slot, vectors_hash(vectors), metadata, payload)
        c.slots[slot] = key
        c.count_number(key)
        c.slot_end = max(c.slot_end, slot + 1)
        self.state.add(record_terms(c.id, key, c.records[key]))

    def delete(self, body):
        c = self.collection_of(body)
        slot, key = body.take("I"), self.key_of(body)
        expect(key in c.records, f"{body.thing}: DELETE", key, "a key that exists")
        self.remove(c, key, slot, f"{body.thing}: DELETE")

    def metadata(self, body):
        c = self.collection_of(body)
        slot, key, metadata = body.take("I"), self.key_of(body), body.run()
        thing = f"{body.thing}: METADATA {key}"
        found = c.records[key].slot if key in c.records else NO_SLOT
        expect(found == slot, f"{thing}: slot", slot, found)
        self.state.add(-record_terms(c.id, key, c.records[key]))
        c.records[key] = Record(slot, c.records[key].vector, metadata, c.records[key].payload)
        self.state.add(record_terms(c.id, key, c.records[key]))

    def payload(self, body):
        c = self.collection_of(body)
        slot, key, number, run = body.take("I"), self.key_of(body), body.take("I"), body.run()
        thing = f"{body.thing}: PAYLOAD {key_text(key)}"
        found = c.records[key].slot if key in c.records else NO_SLOT
        expect(found == slot != NO_SLOT, f"{thing}: slot", slot, found)
        old = c.records[key].payload
        expect(number * PIECE <= len(old), f"{thing}: piece", number, "one behind whole ones")
        expect(len(run) <= PIECE and (run or number * PIECE < len(old)), f"{thing}: bytes", len(run), "1 to 65536")
        self.state.add(-record_terms(c.id, key, c.records[key]))
        behind = old[(number + 1) * PIECE:] if len(run) == PIECE else b""
        c.records[key].payload = old[:number * PIECE] + run + behind
        self.state.add(record_terms(c.id, key, c.records[key]))

    def new_name(self, name, thing):
        taken = [c.name for c in self.state.collections.values()] + list(self.state.aliases)
        expect(name not in taken, thing, f"name {name!r} again", "a new one")

    def rename(self, body):
        c, name = self.collection_of(body), body.run()
        self.new_name(name, f"{body.thing}: RENAME {c.id}")
        self.state.add(-name_term(c.name, c.id, False) + name_term(name, c.id, False))
        c.name = name
        c.verify(f"{body.thing}: RENAME {c.id}")

    def alias(self, body):
        of, name = body.take("I"), body.run()
        thing = f"{body.thing}: ALIAS {name!r}"
        expect(not of or of in self.state.collections, thing, of, "a collection")
        expect(of or name in self.state.aliases, thing, "nothing to delete", "an alias")
        if name in self.state.aliases:
            self.state.add(-name_term(name, self.state.aliases.pop(name), True))
        self.new_name(name, thing)
        if of:
            self.state.aliases[name] = of
            self.state.add(name_term(name, of, True))

    def limits(self, body):
        c = self.collection_of(body)
        self.state.add(-limits_term(c))
        c.max_records, c.max_bytes = body.take("QQ")
        self.state.add(limits_term(c))

    def touch(self, body):
        c = self.collection_of(body)
        c.changed = body.take("q")

    def drop(self, body):
        c = self.collection_of(body)
        for name in [name for name, of in self.state.aliases.items() if of == c.id]:
            self.state.add(-name_term(name, self.state.aliases.pop(name), True))
        for where in [where for where in self.state.notes if where[0] == c.id]:
            self.state.add(-note_term(*where, self.state.notes.pop(where)))
        self.state.add(-collection_term(c) - records_digest(c))
        del self.state.collections[c.id]

    def note(self, body):
        collection_id, put = body.take("II")
        where = (collection_id, body.run())
        value = body.run()
        verify_note(self.state, *where)
        expect(put < 2, f"{body.thing}: NOTE", put, "0 or 1")
        if put and collection_id == TOKENS:
            equal(f"{body.thing}: NOTE: LSN of the token", int.from_bytes(value, "little"), self.state.lsn)
        if where in self.state.notes:
            self.state.add(-note_term(*where, self.state.notes.pop(where)))
        if put:
            self.state.notes[where] = value
            self.state.add(note_term(*where, value))

    def savepoint(self, body):
        number = body.take("I")
        equal(f"{body.thing}: SAVEPOINT", number, len(self.savepoints) + 1)
        expect(number <= SAVEPOINTS_MAX, f"{body.thing}: SAVEPOINT", number, f"at most {SAVEPOINTS_MAX}")
        self.savepoints.append(copy.deepcopy(self.state))

    def open_savepoint(self, body):
        number = body.take("I")
        expect(1 <= number <= len(self.savepoints), f"{body.thing}: savepoint", number,
               f"one of the {len(self.savepoints)} open ones")
        return number

    def release(self, body):
        del self.savepoints[self.open_savepoint(body) - 1:]

    def rollback_to(self, body):
        number = self.open_savepoint(body)
        del self.savepoints[number:]
        self.state = copy.deepcopy(self.savepoints[number - 1])

    def verify_digest(self, body):
        equal(f"{body.thing}: DIGEST", f"{body.hash128():032x}", f"{self.state.sum:032x}")


class Recovery:
    def __init__(self, path, fsck):
        self.file, self.fsck = DataFile(path), fsck
        self.meta = self.file.choose_meta(fsck)

    def content(self):
        """(checkpoint, state) of the database."""
        nothing = Reference(0, 0, 0, 0, 0, 0, 0)
        if not self.meta:
            return Checkpoint(0, 0, 0, 1, FIRST_PAGE, 0, 0, nothing, nothing), State()
        checkpoint = self.choose_checkpoint()
        self.verify_next_file()
        state = self.state_from(checkpoint)
        if self.fsck:
            self.verify_rest(checkpoint, state)
        return checkpoint, state

    def choose_checkpoint(self):
        last, before = self.meta.last, self.meta.before
        try:
            Walk(self.file, last, self.meta, False).find(last.catalog, b"\3", "catalog")
        except Damage:
            if self.fsck or not before.first_log:
                raise
            return before
        return last

    def state_from(self, checkpoint):
        """The content of a checkpoint and of the log behind it."""
        walk = Walk(self.file, checkpoint, self.meta, self.fsck)
        replay = Replay(walk.state())
        for frame, thing in self.log_frames(checkpoint):
            replay.frame(frame, thing)
        if self.fsck:
            self.verify_pages(walk)
        return replay.state

    def log_frames(self, checkpoint):
        """The frames behind a checkpoint that count, each with its name for messages."""
        logs = self.log_files(checkpoint)
        for log, behind in zip(logs, logs[1:] + [None]):
            chain = log.hash
            for frame in log.frames():
                if behind and frame.lsn >= behind.start:
                    break
                if frame.kind != MARK:
                    chain = frame.chain
                yield frame, f"{log.path}: frame {frame.lsn}"
            if behind:
                expect(log.next >= behind.start, f"{log.path}: frames", f"none with LSN {log.next}",
                       f"all below {behind.start}")
                equal(f"{behind.path}: previous chain", f"{behind.previous_chain:016x}", f"{chain:016x}")
            else:
                log.verify_end(self.meta.durable)

    def log_files(self, checkpoint):
        """The files that a checkpoint needs, first to last."""
        logs, generation = [], self.meta.generation
        while generation >= checkpoint.first_log:
            path = self.file.log_path(generation)
            expect(os.path.exists(path), path, "no file", "one (VS_ERR_LOG_MISSING)")
            logs.insert(0, LogFile(path))
            logs[0].verify(self.meta.uuid, generation)
            if generation == checkpoint.first_log:
                break
            generation = logs[0].previous
        if logs:
            equal(f"{logs[0].path}: start LSN", logs[0].start, checkpoint.lsn + 1)
            equal(f"{logs[0].path}: previous chain", f"{logs[0].previous_chain:016x}", f"{checkpoint.chain:016x}")
        return logs

    def verify_next_file(self):
        path = self.file.log_path(self.meta.generation + 1)
        if os.path.exists(path):
            LogFile(path).verify_leftover(self.meta.uuid, self.meta.generation + 1)

    # What a reader has no need of.

    def verify_pages(self, walk):
        """Every page is reached, or in the list once, or the list's own."""
        end = walk.checkpoint.pages
        for kind, runs in zip(("free", "dying"), walk.free_pages()):
            for first, count in runs:
                expect(FIRST_PAGE <= first and count and first + count <= end, f"{kind} run", (first, count),
                       f"pages {FIRST_PAGE} to {end - 1}")
                for page in range(first, first + count):
                    expect(page not in walk.used, f"page {page}", f"{walk.used.get(page)} and {kind}", "one use")
                    walk.used[page] = kind
        for page in range(FIRST_PAGE, end):
            expect(page in walk.used, f"page {page}", "neither reached nor listed", "one of them")
        self.uses = getattr(self, "uses", []) + [walk.used]

    def verify_rest(self, checkpoint, state):
        """The checkpoint before leads to the same content, and no page of it is free."""
        for c in state.collections.values():
            for key, r in c.records.items():
                try:
                    good = not r.metadata or isinstance(json.loads(r.metadata), dict)
                except ValueError:
                    good = False
                expect(good, f"metadata of record {key}", r.metadata[:40], "a JSON object")
        verify_tokens(state.notes, state.lsn)
        before = self.meta.before
        if not before.first_log:
            return
        expect(before.number < checkpoint.number, "number of the checkpoint before", before.number,
               f"below {checkpoint.number}")
        again = self.state_from(before)
        equal("the checkpoint before and its log: digest", f"{again.sum:032x}", f"{state.sum:032x}")
        last, older = self.uses
        for page, use in older.items():
            expect(use in ("free", "dying") or last.get(page) != "free", f"page {page}",
                   f"free, and {use} of the checkpoint before", "one of them")


def main(arguments):
    fsck = "--fsck" in arguments
    paths = [argument for argument in arguments if argument != "--fsck"]
    if len(paths) != 1:
        print("usage: reader.py [--fsck] FILE", file=sys.stderr)
        return 2
    try:
        checkpoint, state = Recovery(paths[0], fsck).content()
        lines = [f"checkpoint {checkpoint.number} lsn {checkpoint.lsn} digest {checkpoint.digest:032x}"]
        lines += state.listing()
        equal("digest", f"{state.digest():032x}", f"{state.sum:032x}")
    except (Damage, OSError) as error:
        print(f"reader.py: {paths[0]}: {error}", file=sys.stderr)
        return 1
    sys.stdout.reconfigure(encoding="utf-8")  # names are, whatever the locale
    print(*lines, f"digest {state.sum:032x} ok", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
