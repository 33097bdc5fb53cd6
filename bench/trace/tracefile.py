#!/usr/bin/env python3
"""tracefile.py - traces of malloc: from what record.c wrote to the compact file that the repository
keeps (pack), and from that to what replay.c reads (unpack).

The compact file is xz around a line of JSON and five columns of numbers, each column on its own,
since numbers of one kind compress better together:

    operations   one byte an event, in the order of the recording: FREE ... ALIGNED, SWITCH
    sizes        of the initial blocks, then of every allocation; of an ALIGNED one the shift first
    ages         of every block freed or reallocated: how many allocations ago it was made
    threads      of every SWITCH: the thread that makes the events from here on

Numbers are in LEB128. A trace is the whole program, or a contiguous window of it: then the blocks
that were live at the start of the window come first (the initial blocks).

usage: tracefile.py pack PREFIX FILE.xz [--start N] [--events N] [--note TEXT]
       tracefile.py unpack FILE.xz FILE
       tracefile.py show FILE.xz...
"""
import argparse
import glob
import json
import lzma
import mmap
import os
import struct
import sys
from pathlib import Path

FREE, MALLOC, CALLOC, REALLOC, ALIGNED, SWITCH = range(1, 7)  # the first five as in record.c
COLUMNS = ["operations", "sizes", "ages", "threads"]
RAW = struct.Struct("<BBHIQQQ")


def put(column, number):
    """Appends one number in LEB128."""
    while number >= 0x80:
        column.append(number & 0x7F | 0x80)
        number >>= 7
    column.append(number)


def numbers(column):
    """The numbers of a column, in order."""
    value = shift = 0
    for byte in column:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            yield value
            value = shift = 0


# ---- Packing ----------------------------------------------------------------------------------


def raw_events(path):
    """(operation, alignment shift, thread, block, size, old block) of every event of a recording."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for operation, shift, _, thread, block, size, old in RAW.iter_unpack(data):
            if operation == 0:
                return
            yield operation, shift, thread, block, size, old


class Packer:
    """Takes events in order; those before the window only tell which blocks are live."""

    def __init__(self, start, count):
        self.start, self.count = start, count
        self.columns = {name: bytearray() for name in COLUMNS}
        self.live = {}  # address: (number of the allocation, size)
        self.seen = self.kept = self.allocations = self.initial = 0
        self.thread = 0
        self.threads = set()
        self.live_bytes = self.peak_bytes = 0

    def begin(self):
        """The window begins: what is live becomes the initial blocks."""
        for block, (_, size) in self.live.items():
            self.live[block] = (self.allocations, size)
            self.allocations += 1
            put(self.columns["sizes"], size)
        self.initial = self.allocations
        self.live_bytes = self.peak_bytes = sum(size for _, size in self.live.values())

    def take(self, operation, shift, thread, block, size, old):
        if self.seen == self.start:
            self.allocations = 0
            self.begin()
        self.seen += 1
        inside = self.start < self.seen <= self.start + self.count
        gone = block if operation == FREE else old
        if operation in (FREE, REALLOC) and gone not in self.live:
            if operation == FREE:  # of a block that is not the recording's
                return
            operation = MALLOC
        if inside and thread != self.thread:
            self.columns["operations"].append(SWITCH)
            put(self.columns["threads"], thread)
            self.thread = thread
        if operation in (FREE, REALLOC):
            self.free(gone, inside)
        elif block in self.live:  # freed unseen
            if inside:
                self.columns["operations"].append(FREE)
            self.free(block, inside)
        if inside:
            self.columns["operations"].append(operation)
            self.kept += 1
            self.threads.add(thread)
        if operation != FREE:
            self.allocate(block, size, shift if operation == ALIGNED else None, inside)

    def free(self, block, inside):
        number, size = self.live.pop(block)
        self.live_bytes -= size
        if inside:
            put(self.columns["ages"], self.allocations - number)

    def allocate(self, block, size, shift, inside):
        self.live[block] = (self.allocations, size)
        self.allocations += 1
        self.live_bytes += size
        if inside:
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
            if shift is not None:
                put(self.columns["sizes"], shift)
            put(self.columns["sizes"], size)

    def file(self, note):
        """The compact file as bytes."""
        head = {"events": self.kept, "of": self.seen, "start": self.start, "initial": self.initial,
                "threads": len(self.threads), "peak_bytes": self.peak_bytes, "note": note,
                "columns": [len(self.columns[name]) for name in COLUMNS]}
        plain = json.dumps(head).encode() + b"\n" + b"".join(self.columns[name] for name in COLUMNS)
        return lzma.compress(plain, preset=9 | lzma.PRESET_EXTREME)


def pack(prefix, target, start, count, note):
    """Packs the largest of the recordings PREFIX.*: that of the program proper, not of its wrappers."""
    recording = max(glob.glob(glob.escape(prefix) + ".*"), key=lambda path: (os.stat(path).st_blocks, path))
    packer = Packer(start, count)
    for event in raw_events(recording):
        packer.take(*event)
    if packer.kept == 0:
        sys.exit(f"{recording}: no events from {start} on")
    target.write_bytes(packer.file(note))


# ---- Unpacking --------------------------------------------------------------------------------


def read(path):
    """(head, {column: bytes}) of a compact file."""
    head, _, rest = lzma.decompress(Path(path).read_bytes()).partition(b"\n")
    head = json.loads(head)
    columns = {}
    for name, length in zip(COLUMNS, head["columns"]):
        columns[name], rest = rest[:length], rest[length:]
    return head, columns


def events_of(head, columns):
    """(operation, thread, shift, size, the allocation that goes or None) of every event, the initial
    blocks first; the n-th event with a size is allocation n."""
    sizes, ages, threads = (numbers(columns[name]) for name in COLUMNS[1:])
    allocations = thread = 0
    for _ in range(head["initial"]):
        yield MALLOC, 0, 0, next(sizes), None
        allocations += 1
    for operation in columns["operations"]:
        if operation == SWITCH:
            thread = next(threads)
            continue
        gone = allocations - next(ages) if operation in (FREE, REALLOC) else None
        shift = next(sizes) if operation == ALIGNED else 0
        size = None
        if operation != FREE:
            size = next(sizes)
            allocations += 1
        yield operation, thread, shift, size, gone


def endings(head, columns):
    """For each allocation the thread that made it, and the one that ended it (None: nobody did)."""
    makers, enders = [], []
    for _, thread, _, size, gone in events_of(head, columns):
        if gone is not None:
            enders[gone] = thread
        if size is not None:
            makers.append(thread)
            enders.append(None)
    return makers, enders


class Thread:
    """What one thread does in the replay, as replay.c reads it, and which of its slots are free."""

    def __init__(self):
        self.stream = bytearray()
        self.free = []
        self.slots = 0


# The operations and the head of the file as in replay.c.
PLAY_FREE, PLAY_MALLOC, PLAY_CALLOC, PLAY_REALLOC, PLAY_ALIGNED, PLAY_EPOCH, PLAY_FREE_SHARED, PLAY_SHARE = range(8)
PLAIN = {MALLOC: PLAY_MALLOC, CALLOC: PLAY_CALLOC, REALLOC: PLAY_MALLOC}
HEAD = struct.Struct("<8sQQQQQQ")
EPOCH_EVENTS = 16384
THREAD_HEAD = struct.Struct("<QQ")


class Unpacker:
    """Turns events into a stream for each thread. A block that another thread frees gets a shared
    slot that is never used again, any other the slot of its thread that was freed last. Where there
    are several threads, time is cut into epochs: the replay begins one when all of the last is done."""

    def __init__(self, head, columns):
        self.head = head
        self.makers, self.enders = endings(head, columns)
        self.places = []  # of each allocation: its slot
        self.shared = 0
        self.bytes = 0
        self.threads = {thread: Thread() for thread in dict.fromkeys([0, *self.makers, *self.enders]) if thread is not None}
        self.epochs = []  # in each: how many threads do something
        active = set()  # of the epoch
        for number, (operation, thread, shift, size, gone) in enumerate(events_of(head, columns)):
            if len(self.threads) > 1:
                if number % EPOCH_EVENTS == 0:
                    self.epochs.append(0)
                    active.clear()
                if thread not in active:
                    active.add(thread)
                    put(self.threads[thread].stream, len(self.epochs) - 1 << 3 | PLAY_EPOCH)
                    self.epochs[-1] += 1
            self.event(self.threads[thread], thread, operation, shift, size, gone)

    def is_shared(self, allocation):
        return self.enders[allocation] not in (None, self.makers[allocation])

    def event(self, me, thread, operation, shift, size, gone):
        made = len(self.places)
        self.bytes += size or 0
        if operation == REALLOC and self.makers[gone] == thread and not self.is_shared(made):
            put(me.stream, self.places[gone] << 3 | PLAY_REALLOC)
            put(me.stream, size)
            self.places.append(self.places[gone])
            return
        # A block that is reallocated by or for another thread is allocated and freed instead.
        if size is not None:
            self.allocate(me, made, operation, shift, size)
        if gone is not None:
            shared = self.is_shared(gone)
            put(me.stream, self.places[gone] << 3 | (PLAY_FREE_SHARED if shared else PLAY_FREE))
            if not shared:
                me.free.append(self.places[gone])

    def allocate(self, me, made, operation, shift, size):
        if self.is_shared(made):
            put(me.stream, self.shared << 3 | PLAY_SHARE)
            self.places.append(self.shared)
            self.shared += 1
        elif me.free:
            self.places.append(me.free.pop())
        else:
            self.places.append(me.slots)
            me.slots += 1
        if operation == ALIGNED:
            put(me.stream, shift << 3 | PLAY_ALIGNED)
            put(me.stream, size)
        else:
            put(me.stream, size << 3 | PLAIN[operation])

    def file(self):
        """The file for replay.c as bytes."""
        threads = self.threads.values()
        events = len(self.makers) + sum(ender is not None for ender in self.enders)
        parts = [HEAD.pack(b"hkmtrace", len(threads), self.shared, len(self.epochs), events, self.bytes, self.head["peak_bytes"])]
        parts += [THREAD_HEAD.pack(len(thread.stream), thread.slots) for thread in threads]
        parts.append(struct.pack(f"<{len(self.epochs)}Q", *self.epochs))
        return b"".join(parts + [bytes(thread.stream) for thread in threads])


def unpack(source, target):
    """Makes the file for replay.c."""
    unfinished = Path(f"{target}.unfinished")
    unfinished.write_bytes(Unpacker(*read(source)).file())
    unfinished.rename(target)


# ---- The command ------------------------------------------------------------------------------


def show(path):
    head, _ = read(path)
    part = "whole" if head["events"] == head["of"] else f"events from {head['start']} on of {head['of']}"
    print(f"{path.stem}: {head['events']} events ({part}), {head['initial']} initial blocks, {head['threads']} threads, "
          f"peak {head['peak_bytes'] / 2**20:.1f} MiB live, {path.stat().st_size / 1024:.0f} KiB packed: {head['note']}")


def main():
    parser = argparse.ArgumentParser(description="Packs, unpacks and describes traces of malloc.")
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="make a compact trace of the largest recording PREFIX.*")
    packing.add_argument("prefix")
    packing.add_argument("target", type=Path)
    packing.add_argument("--start", type=int, default=0, help="leave out this many events (default 0)")
    packing.add_argument("--events", type=int, default=1 << 60, help="keep at most this many (default: all)")
    packing.add_argument("--note", default="", help="what was recorded")
    unpacking = commands.add_parser("unpack", help="make the file that the replayer reads")
    unpacking.add_argument("source", type=Path)
    unpacking.add_argument("target", type=Path)
    showing = commands.add_parser("show", help="describe traces")
    showing.add_argument("sources", type=Path, nargs="+")
    chosen = parser.parse_args()
    if chosen.command == "pack":
        pack(chosen.prefix, chosen.target, chosen.start, chosen.events, chosen.note)
    elif chosen.command == "unpack":
        unpack(chosen.source, chosen.target)
    else:
        for source in chosen.sources:
            show(source)


if __name__ == "__main__":
    main()
