"""Broken connections, against a server that breaks them on purpose."""

import json
import socket
import threading
import unittest

from tsdb_client import TSDBClient, TSDBError


class Breaker:
    """Accepts connections; each is served by the next of the scripts, which get (connection, lines)."""

    def __init__(self, *scripts):
        self.received = []
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for script in self._scripts:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as reader:
                script(self, connection, reader)
        self._listener.close()

    def close(self):
        """Waits until all scripts have run."""
        self._thread.join(10)
        self._listener.close()


def answer(count):
    """Answers so many requests, then closes."""

    def script(breaker, connection, reader):
        for _ in range(count):
            request = json.loads(reader.readline())
            breaker.received.append(request)
            data = {"timestamp_ns": request["data"].get("timestamp_ns", 7), "message": "PONG", "version": "x"}
            connection.sendall(json.dumps({"ok": True, "data": data}).encode() + b"\n")

    return script


def swallow(breaker, connection, reader):
    """Takes a request and closes without an answer."""
    breaker.received.append(json.loads(reader.readline()))


class Broken(unittest.TestCase):
    """What happens to calls when the connection breaks."""

    def client(self, breaker, **settings):
        """A client of a breaker."""
        client = TSDBClient("127.0.0.1", breaker.port, timeout=5, **settings)
        self.addCleanup(client.close)
        self.addCleanup(breaker.close)
        return client

    def test_a_file_that_is_not_there_is_named(self):
        for setting in ("tls_ca", "tls_cert"):
            with self.assertRaises(FileNotFoundError) as caught:
                TSDBClient(**{setting: "/no/such/file.pem"})
            self.assertEqual(caught.exception.filename, "/no/such/file.pem")

    def test_a_timed_write_is_sent_again(self):
        breaker = Breaker(swallow, answer(1))
        self.assertEqual(self.client(breaker).insert_at("a", 5, [1.0]), 5)
        self.assertEqual([request["type"] for request in breaker.received], ["InsertAt", "InsertAt"])

    def test_an_untimed_write_is_not(self):
        breaker = Breaker(swallow)
        with self.assertRaises(TSDBError) as caught:
            self.client(breaker).insert("a", [1.0])
        self.assertEqual(caught.exception.code, "CONNECTION_LOST")
        self.assertEqual(len(breaker.received), 1)

    def test_a_batch_is_sent_again_where_all_its_points_have_times(self):
        breaker = Breaker(swallow, swallow)
        client = self.client(breaker, retries=1)
        with self.assertRaises(TSDBError):
            client.batch_insert("a", [{"timestamp_ns": 1, "values": [1]}, {"timestamp_ns": 2, "values": [1]}])
        self.assertEqual(len(breaker.received), 2)
        breaker = Breaker(swallow)
        with self.assertRaises(TSDBError):
            self.client(breaker).batch_insert("a", [{"timestamp_ns": 1, "values": [1]}, {"values": [1]}])
        self.assertEqual(len(breaker.received), 1)

    def test_a_connection_that_the_server_closed_is_noticed_before_sending(self):
        breaker = Breaker(answer(1), answer(1))
        client = self.client(breaker)
        self.assertEqual(client.insert("a", [1]), 7)
        # The end of the first connection has arrived by now, or will be seen as broken by a call
        # that may be repeated.
        client.ping()
        self.assertEqual([request["type"] for request in breaker.received][:1], ["Insert"])

    def test_a_pipeline_goes_on_where_it_broke(self):
        breaker = Breaker(answer(3), answer(7))
        with self.client(breaker).pipeline() as pipeline:
            for at in range(10):
                pipeline.insert_at("a", at, [1.0])
            self.assertEqual(pipeline.execute(), list(range(10)))

    def test_no_server_is_told_as_such(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with self.assertRaises(TSDBError) as caught:
            TSDBClient("127.0.0.1", port, retries=0).ping()
        self.assertEqual(caught.exception.code, "CONNECTION_FAILED")
        self.assertIn(str(port), caught.exception.message)

    def test_a_silent_server_times_out(self):
        release = threading.Event()
        breaker = Breaker(lambda *_: release.wait(10))
        client = TSDBClient("127.0.0.1", breaker.port, timeout=0.2)
        self.addCleanup(client.close)
        self.addCleanup(breaker.close)
        with self.assertRaises(TSDBError) as caught:
            client.ping()
        release.set()
        self.assertEqual(caught.exception.code, "TIMEOUT")

    def test_what_can_not_be_sent_is_said_before_anything_is(self):
        client = TSDBClient("127.0.0.1", 1, retries=0)
        for bad in ([float("nan")], [float("inf")], [object()]):
            with self.assertRaises(TSDBError) as caught:
                client.pipeline().insert("a", bad)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
        for place, points in [
            ("points[1].values[2] is nan", [(1, [1, 2, 3]), (2, [1, 2, float("nan")])]),
            ("points[0].values[0] is -inf", [{"timestamp_ns": 1, "values": (float("-inf"),)}]),
        ]:
            with self.assertRaises(TSDBError) as caught:
                client.pipeline().batch_insert("a", points)
            self.assertIn(place, str(caught.exception))
        with self.assertRaises(AttributeError):
            client.pipeline().nonsense()


if __name__ == "__main__":
    unittest.main()
