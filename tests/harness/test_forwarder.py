#!/usr/bin/env python3
"""forwarder.py against an echo server on loopback: what it claims to do to a line, it does."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import forwarder


class Echo(threading.Thread):
    """Sends back what it gets."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    @staticmethod
    def serve(peer):
        try:
            with peer:
                while data := peer.recv(65536):
                    peer.sendall(data)
        except OSError:
            pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def echoed(address, data, timeout=10):
    """Sends everything, half-closes, returns what comes back."""
    with socket.create_connection(address, timeout=timeout) as peer:
        sender = threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        got = bytearray()
        while piece := peer.recv(65536):
            got += piece
        sender.join()
        return bytes(got)


class ForwarderTest(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.close)

    def test_passes_everything_through(self):
        data = os.urandom(3000000)
        with forwarder.Forwarder(self.echo.address) as line:
            self.assertEqual(echoed(("127.0.0.1", line.port), data), data)
            counters = line.counters()
            self.assertEqual((counters["up_bytes"], counters["down_bytes"]), (len(data), len(data)))

    def test_latency_is_paid_once_each_way(self):
        with forwarder.Forwarder(self.echo.address, latency_ms=100) as line:
            started = time.monotonic()
            self.assertEqual(echoed(("127.0.0.1", line.port), b"x" * 200000), b"x" * 200000)
            self.assertGreaterEqual(time.monotonic() - started, 0.2)
            self.assertLess(time.monotonic() - started, 1.5)

    def test_bandwidth_of_each_direction(self):
        with forwarder.Forwarder(self.echo.address, up_bytes_s=400000) as line:
            started = time.monotonic()
            echoed(("127.0.0.1", line.port), b"x" * 400000)
            self.assertGreaterEqual(time.monotonic() - started, 0.9)
            line.set(up_bytes_s=0)
            started = time.monotonic()
            echoed(("127.0.0.1", line.port), b"x" * 400000)
            self.assertLess(time.monotonic() - started, 0.9)

    def test_reset_silence_and_refusal(self):
        with forwarder.Forwarder(self.echo.address) as line:
            with socket.create_connection(("127.0.0.1", line.port), timeout=5) as peer:
                peer.sendall(b"a")
                self.assertEqual(peer.recv(1), b"a")
                line.do("silence")
                peer.sendall(b"b")
                peer.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    peer.recv(1)
                line.do("speak")
                peer.settimeout(5)
                self.assertEqual(peer.recv(1), b"b")
                line.do("reset")
                with self.assertRaises(ConnectionResetError):
                    if peer.recv(1) == b"":
                        raise ConnectionResetError
            port = line.port
            line.do("refuse")
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            line.do("accept")
            self.assertEqual(line.port, port)
            self.assertEqual(echoed(("127.0.0.1", port), b"again"), b"again")

    def test_stalls_and_resets_are_drawn_from_the_seed(self):
        with forwarder.Forwarder(self.echo.address, stall_per_million=300000, stall_ms=20) as line:
            data = os.urandom(500000)
            self.assertEqual(echoed(("127.0.0.1", line.port), data), data)
            self.assertGreater(line.counters()["stalls"], 3)
        with forwarder.Forwarder(self.echo.address, reset_after_bytes=100000) as line:
            with self.assertRaises(OSError):
                if len(echoed(("127.0.0.1", line.port), data)) < len(data):
                    raise ConnectionResetError
            self.assertEqual(line.counters()["resets"], 1)
        with self.assertRaises(ValueError):
            forwarder.Forwarder(self.echo.address, latencyms=1)

    def test_as_a_program(self):
        with tempfile.TemporaryDirectory() as folder:
            control = os.path.join(folder, "control.sock")
            host, port = self.echo.address
            with subprocess.Popen([sys.executable, forwarder.__file__, "--to", f"{host}:{port}", "--control", control,
                                   "--latency_ms", "10"], stdout=subprocess.PIPE, text=True) as child:
                try:
                    address = forwarder.endpoint(child.stdout.readline().split()[1])
                    self.assertEqual(echoed(address, b"hello"), b"hello")
                    with socket.socket(socket.AF_UNIX) as talk:
                        talk.connect(control)
                        for command, key, value in [({"set": {"latency_ms": 0}}, "up_bytes", 5),
                                                    ({"do": "counters"}, "connections", 1),
                                                    ({"do": "dance"}, "error", "cannot do 'dance'")]:
                            talk.sendall(json.dumps(command).encode() + b"\n")
                            self.assertEqual(json.loads(talk.recv(65536))[key], value)
                finally:
                    child.kill()


if __name__ == "__main__":
    unittest.main()
