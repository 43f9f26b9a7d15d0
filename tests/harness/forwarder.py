#!/usr/bin/env python3
"""A bad line between two programs on this machine: a TCP forwarder on loopback with delay, limited bandwidth,
stalls (what packet loss looks like to TCP), resets, silence and refusal, changed while it runs.

As a program:
  forwarder.py --to 127.0.0.1:7400 [--listen 127.0.0.1:0] [--control SOCKET] [--seed N] [--latency_ms 50 ...]
  prints "listening 127.0.0.1:PORT" and runs until it is killed.
  The control socket takes lines of JSON and answers each with one:
    {"set": {"latency_ms": 50, "up_bytes_s": 100000}}     settings, any of LINE below
    {"do": "reset"}      every connection is reset (RST)
    {"do": "silence"}    nothing passes any more, new connections are accepted and stay silent; "speak" ends it
    {"do": "refuse"}     new connections are refused; "accept" ends it
    {"do": "counters"}   {"connections": ..., "up_bytes": ..., "down_bytes": ..., "stalls": ..., "resets": ...}

In a test:
  with Forwarder(("127.0.0.1", port), latency_ms=20) as line:
      dial(line.address)          # "127.0.0.1:41234"
      line.set(up_bytes_s=50000)
      line.do("reset")

"up" is from whoever dials to the target, "down" the way back. Bandwidth is of one connection's direction. The same
seed draws the same stalls and resets for the same sequence of pieces.
"""
import argparse
import asyncio
import json
import random
import socket
import sys
import threading

LINE = {
    "latency_ms": 0,          # one way
    "jitter_ms": 0,           # up to so much more, for each piece; order is kept
    "up_bytes_s": 0,          # 0: no limit
    "down_bytes_s": 0,
    "stall_per_million": 0,   # pieces after which nothing passes for stall_ms, in that direction
    "stall_ms": 300,
    "reset_per_million": 0,   # pieces at which the connection is reset
    "reset_after_bytes": 0,   # a connection is reset after so many bytes, both ways together; 0: never
}
PIECE_BYTES = 16384
HELD_BYTES_MAX = 1 << 20      # on the way in one direction; then the sender waits, as with a full window


class Connection:
    """One forwarded connection: two directions, each a reader that dates pieces and a writer that waits for them."""

    def __init__(self, owner, dialler, target):
        self.owner, self.ends = owner, (dialler, target)
        self.bytes = 0
        self.broken = False

    async def run(self):
        (dial_in, dial_out), (to_in, to_out) = self.ends
        ways = [asyncio.ensure_future(self.way("up", dial_in, to_out)),
                asyncio.ensure_future(self.way("down", to_in, dial_out))]
        try:
            await asyncio.gather(*ways)
            dial_out.close()  # both directions have ended: what is still on its way arrives
            to_out.close()
        except OSError:
            self.abort()
        finally:
            for way in ways:
                way.cancel()

    def reset(self):
        if not self.broken:
            self.owner.count["resets"] += 1
        self.broken = True
        raise ConnectionResetError

    def abort(self):
        """Resets both sides: unsent bytes are thrown away, the peers see RST."""
        for _reader, writer in self.ends:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()

    async def way(self, direction, reader, writer):
        queue, room = asyncio.Queue(), asyncio.Semaphore(HELD_BYTES_MAX // PIECE_BYTES)
        sender = asyncio.ensure_future(self.send(direction, queue, room, writer))
        line, clock, due = self.owner.line, self.owner.loop.time, 0.0
        try:
            while True:
                await room.acquire()
                piece = await reader.read(PIECE_BYTES)
                delay = line["latency_ms"] + self.owner.random.uniform(0, line["jitter_ms"])
                due = max(due, clock() + delay / 1000)
                queue.put_nowait((due, piece))
                if not piece:
                    await sender
                    return
                if sender.done():
                    sender.result()
        finally:
            sender.cancel()

    async def send(self, direction, queue, room, writer):
        line, draw, clock, free = self.owner.line, self.owner.random.randrange, self.owner.loop.time, 0.0
        while True:
            due, piece = await queue.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if draw(1000000) < line["reset_per_million"]:
                self.reset()
            if draw(1000000) < line["stall_per_million"]:
                self.owner.count["stalls"] += 1
                await asyncio.sleep(line["stall_ms"] / 1000)
            rate = line[direction + "_bytes_s"]
            if rate:
                free = max(free, clock()) + len(piece) / rate
                await asyncio.sleep(max(0.0, free - clock()))
            await self.owner.speaking.wait()
            writer.write(piece)
            await writer.drain()
            room.release()
            self.bytes += len(piece)
            self.owner.count[direction + "_bytes"] += len(piece)
            if line["reset_after_bytes"] and self.bytes >= line["reset_after_bytes"]:
                self.reset()


class Line:
    """The forwarder itself; lives on one asyncio loop."""

    def __init__(self, target, listen=("127.0.0.1", 0), seed=1, **settings):
        self.target, self.listen = target, listen
        self.random = random.Random(seed)
        self.line = dict(LINE)
        self.set(settings)
        self.count = {"connections": 0, "up_bytes": 0, "down_bytes": 0, "stalls": 0, "resets": 0}
        self.connections = set()
        self.server = self.loop = self.speaking = None

    def set(self, settings):
        unknown = set(settings) - set(LINE)
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        self.line.update(settings)

    async def start(self):
        self.loop = asyncio.get_running_loop()
        self.speaking = asyncio.Event()
        self.speaking.set()
        await self.accept()

    async def accept(self):
        self.server = await asyncio.start_server(self.accepted, *self.listen, limit=PIECE_BYTES)
        self.listen = self.server.sockets[0].getsockname()[:2]

    async def accepted(self, reader, writer):
        self.count["connections"] += 1
        try:
            await self.speaking.wait()
            target = await asyncio.open_connection(*self.target, limit=PIECE_BYTES)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(self, (reader, writer), target)
        self.connections.add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            connection.abort()  # stop()
        finally:
            self.connections.discard(connection)

    async def do(self, what):
        if what == "reset":
            self.count["resets"] += len(self.connections)
            for connection in list(self.connections):
                connection.abort()
        elif what == "silence":
            self.speaking.clear()
        elif what == "speak":
            self.speaking.set()
        elif what == "refuse":
            self.server.close()
            await self.server.wait_closed()
        elif what == "accept":
            await self.accept()
        elif what != "counters":
            raise ValueError(f"cannot do {what!r}")
        return dict(self.count, open=len(self.connections))

    async def obey(self, reader, writer):
        while line := await reader.readline():
            try:
                command = json.loads(line)
                self.set(command.get("set", {}))
                answer = await self.do(command.get("do", "counters"))
            except (ValueError, AttributeError, OSError) as error:
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def stop(self):
        self.server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for connection in list(self.connections):
            connection.abort()


class Forwarder:
    """A Line on a thread of its own, for tests that are not asynchronous."""

    def __init__(self, target, listen=("127.0.0.1", 0), seed=1, **settings):
        self.inner = Line(target, listen, seed, **settings)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def __enter__(self):
        self.thread.start()
        self.call(self.inner.start())
        return self

    def __exit__(self, *_exception):
        self.call(self.inner.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def port(self):
        return self.inner.listen[1]

    @property
    def address(self):
        return f"{self.inner.listen[0]}:{self.port}"

    def set(self, **settings):
        self.inner.set(settings)

    def do(self, what):
        return self.call(self.inner.do(what))

    def counters(self):
        return self.do("counters")


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def run(options):
    settings = {name: getattr(options, name) for name in LINE}
    line = Line(options.to, options.listen, options.seed, **settings)
    await line.start()
    if options.control:
        await asyncio.start_unix_server(line.obey, options.control)
    print(f"listening {line.listen[0]}:{line.listen[1]}", flush=True)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=endpoint, required=True)
    parser.add_argument("--listen", type=endpoint, default=("127.0.0.1", 0))
    parser.add_argument("--control")
    parser.add_argument("--seed", type=int, default=1)
    for name, value in LINE.items():
        parser.add_argument("--" + name, type=int, default=value)
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
