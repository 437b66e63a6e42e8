"""Every method, against a real server."""

import asyncio
import math
import os
import subprocess
import tempfile
import threading
import unittest

from tsdb_client import AsyncTSDBClient, Point, SeriesInfo, TSDBClient, TSDBError

BINARY = os.environ.get("TSDB_SERVER_BINARY")


class Server:
    """A server in a directory of its own."""

    def __init__(self, **environment):
        self.directory = tempfile.TemporaryDirectory()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TSDB_")}
        clean.update(TSDB_METRICS_PORT="0", RUST_LOG="warn", **environment)
        command = [BINARY, "--port", "0", "--data-dir", os.path.join(self.directory.name, "data")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self):
        """Ends it and removes its directory."""
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
        self.directory.cleanup()


@unittest.skipUnless(BINARY, "TSDB_SERVER_BINARY names no server")
class Live(unittest.TestCase):
    """A client and a server."""

    @classmethod
    def setUpClass(cls):
        """One server for all."""
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        """Ends it."""
        cls.server.stop()

    def setUp(self):
        """A client, and no series."""
        self.client = TSDBClient("127.0.0.1", self.server.port)
        self.addCleanup(self.client.close)
        for series in self.client.list_series():
            self.client.drop_series(series.name)

    def test_the_whole_tour(self):
        client = self.client
        self.assertEqual(client.list_series(), [])
        self.assertTrue(client.create_series("s", 2).created)
        self.assertFalse(client.create_series("s", 2, if_not_exists=True).created)
        first = client.insert("s", [0.1, 2])
        second = client.insert_with_labels("s", (3, 4), {"k": "v"})
        self.assertIsInstance(first, int)
        self.assertGreater(second, first)
        self.assertEqual(client.insert_at("s", 5, [5, 6]), 5)
        self.assertEqual(client.insert_at_with_labels("s", 6, [7, 8], {"k": "ü, \"=\""}), 6)
        self.assertEqual(
            client.query_range("s", 0, 10), [Point(5, [5.0, 6.0]), Point(6, [7.0, 8.0], {"k": "ü, \"=\""})]
        )
        self.assertEqual([point.timestamp_ns for point in client.query("s")], [first, second])
        self.assertEqual(client.query("s")[0].values, [0.1, 2.0])
        self.assertEqual(client.query_range("s", 100, 200), [])
        self.assertEqual(client.query_range("s", 0, 10, labels={"k": "none"}), [])
        batch = client.batch_insert("s", [Point(20, [1, 1]), {"timestamp_ns": 21, "values": [2, 2]}, (22, [3, 3])])
        self.assertEqual((batch.inserted, batch.first_timestamp_ns, batch.last_timestamp_ns), (3, 20, 22))
        batch = client.batch_insert("s", timestamps_ns=[30, 31], values=[[1, 0], [0, 1]], labels={"k": "c"})
        self.assertEqual(batch.inserted, 2)
        match = client.find_similar("s", [0, 2], limit=1, end_ns=100)[0]
        self.assertEqual((match.timestamp_ns, match.similarity, match.labels), (31, 1.0, {"k": "c"}))
        stats = client.stats("s")
        self.assertEqual((stats.count, stats.label_sets, len(stats.per_dimension)), (9, 4, 2))
        self.assertEqual(client.stats().points, 9)
        self.assertEqual(client.list_series(), [SeriesInfo("s", 2, "f64", 9)])
        self.assertEqual(client.delete_range("s", 20, 21), 2)
        self.assertEqual(client.delete_range("s", 20, 21).deleted, 0)
        self.assertGreaterEqual(client.flush().flushed_points, 7)
        self.assertEqual(len(client.export_series("s")), 7)
        self.assertTrue(client.export_series("s", format="csv").startswith("timestamp_ns,v0,v1,labels\n"))
        saved = client.save("tour.snap")
        self.assertEqual((saved.series, saved.points), (1, 7))
        self.assertTrue(client.drop_series("s"))
        self.assertEqual(client.load("tour.snap").points, 7)
        self.assertEqual(client.ping(), "PONG")
        self.assertTrue(client.ping().version)
        self.assertIn("QUERY", [command.name for command in client.help()])

    def test_analytics(self):
        values = [math.sin(at / 8) for at in range(400)]
        values[200:210] = [0.3] * 10
        self.client.create_series("s", 1)
        self.client.batch_insert("s", timestamps_ns=list(range(400)), values=values)
        anomaly = self.client.find_anomalies("s", 20, 1)[0]
        self.assertTrue(181 <= anomaly.index < 210 and anomaly.timestamp_ns == anomaly.index, anomaly)
        self.assertGreater(anomaly.score, 0)
        self.assertTrue(0 < (anomaly.normalized_score or 0) < 1 and anomaly.flags == [], anomaly)
        found = self.client.find_anomalies("s", "auto", 1, left=True, timeout_ms=60_000)
        self.assertTrue(found.exact and found.coverage == 1 and found.window >= 4, found.summary)
        self.assertLess(found[0].neighbor_index, found[0].index)
        labels = {"host": "a"}
        self.client.create_series("two", 1)
        self.client.batch_insert("two", timestamps_ns=list(range(400)), values=values)
        self.client.batch_insert("two", timestamps_ns=list(range(400)), values=values, labels=labels)
        both = self.client.find_anomalies("two", 20, 2)
        self.assertEqual([each.labels for each in both], [{}, labels])
        self.assertFalse(both.summary["cached"])
        self.assertTrue(self.client.find_anomalies("two", 20, 2).summary["cached"])
        motif = self.client.find_motifs("s", 20, 1)[0]
        self.assertLess(motif.a.timestamp_ns, motif.b.timestamp_ns)
        self.assertEqual((motif.radius, motif.occurrences), (None, []))
        motif = self.client.find_motifs("s", 20, 1, radius=1.0)[0]
        self.assertEqual([each.index for each in motif.occurrences[:2]], [motif.a.index, motif.b.index])
        self.assertTrue(len(motif.occurrences) > 5 and max(each.distance for each in motif.occurrences) <= 1, motif)
        second = self.client.find_anomalies("s", 20, 1, neighbor=2, neighbors=3)[0]
        self.assertEqual(second.neighbors[1].index, second.neighbor_index)
        self.assertEqual(second.neighbors[1].distance, second.score)
        found = self.client.find_anomalies("s", windows=[10, 12], k=1)
        self.assertTrue(10 <= found[0].end_timestamp_ns - found[0].timestamp_ns + 1 <= 12, found)
        beside = self.client.find_anomalies("s", 20, 1, with_="two", with_labels=labels)[0]
        self.assertLess(beside.score, anomaly.score)
        window = self.client.find_similar("s", values[40:60], limit=1)[0]
        self.assertEqual((window.timestamp_ns, window.end_timestamp_ns), (40, 59))

    def test_what_is_made_of_profiles(self):
        values = [math.sin(at / 3) for at in range(300)] + [abs(at % 19 - 9) / 5 for at in range(300)]
        values = [value + 0.05 * math.sin(at * at) for at, value in enumerate(values)]
        self.client.create_series("r", 2)
        self.client.batch_insert("r", timestamps_ns=list(range(600)), values=[[value, -value] for value in values])
        changes = self.client.find_changes("r", 20, 1, curve=True)
        self.assertLess(abs(changes[0].index - 300), 25, changes)
        self.assertEqual(len(changes.summary["curves"][0]["values"]), 581)
        chain = self.client.find_chains("r", 20, 1)[0]
        self.assertTrue(len(chain.windows) == chain.length == len(chain.distances) + 1, chain)
        distance = self.client.mpdist("r", "r", 20, end_ns=250, with_start_ns=350)[0]
        self.assertTrue(0 < distance.distance and 0 < (distance.normalized_score or 0) < 1, distance)
        snippets = self.client.find_snippets("r", 40, 2)
        self.assertAlmostEqual(sum(snippet.fraction for snippet in snippets), 1)
        self.assertEqual(snippets.summary["sub_window"], 20)
        with self.client.pipeline() as pipeline:
            pipeline.find_changes("r", 20, 1)
            pipeline.find_chains("r", 20, 1)
            pipeline.mpdist("r", "r", 20, 1)
            pipeline.find_snippets("r", 40, 1)
            found = pipeline.execute()
        self.assertEqual((found[0][0], found[1][0], len(found[2]), len(found[3])), (changes[0], chain, 1, 1))
        anomaly = self.client.find_anomalies("r", 20, 1, dimensions="any", step=1)[0]
        self.assertEqual([each.distance for each in anomaly.dimensions][0], anomaly.score)

    def test_watches(self):
        self.client.create_series("w", 1)
        made = self.client.watch_profile("w", 8, labels={"k": "v"}, threshold=0.25, max_points=1000)
        self.assertEqual((made.series, made.window, made.labels, made.threshold), ("w", 8, {"k": "v"}, 0.25))
        self.client.watch_profile("w", 9, max_points=1000)
        listed = [(watch.series, watch.window, watch.labels) for watch in self.client.list_watches()]
        self.assertEqual(sorted(listed, key=str), [("w", 8, {"k": "v"}), ("w", 9, {})])
        self.assertEqual(self.client.unwatch_profile("w", 9), 1)
        self.assertEqual(self.client.unwatch_profile("w"), 1)
        self.assertEqual(self.client.list_watches(), [])

    def test_errors_have_codes(self):
        for code, call in [
            ("SERIES_NOT_FOUND", lambda: self.client.query("none")),
            ("INVALID_ARGUMENT", lambda: self.client.create_series("all", 1)),
            ("INVALID_ARGUMENT", lambda: self.client.insert("none", [float("nan")])),
            ("FILE_NOT_FOUND", lambda: self.client.load("none")),
            ("PATH_NOT_ALLOWED", lambda: self.client.save("/tmp/x")),
        ]:
            with self.assertRaises(TSDBError) as caught:
                call()
            self.assertEqual(caught.exception.code, code)
            self.assertIn(code, str(caught.exception))

    def test_pipelines(self):
        self.client.create_series("p", 1)
        with self.client.pipeline() as pipeline:
            for at in range(3000):
                pipeline.insert_at("p", at, [at])
            pipeline.query_range("p", 0, 2)
            results = pipeline.execute()
        self.assertEqual(results[:3000], list(range(3000)))
        self.assertEqual([point.values for point in results[3000]], [[0.0], [1.0], [2.0]])
        pipeline = self.client.pipeline()
        pipeline.insert_at("p", 1, [1])
        pipeline.insert_at("none", 1, [1])
        pipeline.ping()
        found = pipeline.execute(raise_on_error=False)
        self.assertEqual((found[0], found[1].code, found[2]), (1, "SERIES_NOT_FOUND", "PONG"))
        with self.assertRaises(TSDBError):
            with self.client.pipeline() as pipeline:
                pipeline.insert_at("none", 1, [1])
        self.assertEqual(self.client.ping(), "PONG")

    def test_threads_share_a_client(self):
        self.client.create_series("t", 1)
        failures = []

        def work(thread):
            try:
                for at in range(200):
                    timestamp = thread * 1000 + at
                    if self.client.insert_at("t", timestamp, [at]) != timestamp:
                        failures.append(timestamp)
            except TSDBError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.client.stats("t").count, 1600)

    def test_the_asynchronous_client(self):
        async def tour():
            async with AsyncTSDBClient("127.0.0.1", self.server.port) as client:
                await client.create_series("a", 1)
                stamps = await asyncio.gather(*(client.insert("a", [at]) for at in range(100)))
                self.assertEqual(len(set(stamps)), 100)
                async with client.pipeline() as pipeline:
                    for at in range(500):
                        pipeline.insert_at("a", at, [at])
                    self.assertEqual(await pipeline.execute(), list(range(500)))
                self.assertEqual(len(await client.query_range("a", 0, 499)), 500)
                self.assertEqual(len(await client.find_anomalies("a", 10, 2)), 2)
                self.assertEqual((await client.stats("a")).count, 600)
                with self.assertRaises(TSDBError) as caught:
                    await client.query("none")
                self.assertEqual(caught.exception.code, "SERIES_NOT_FOUND")
                self.assertEqual(await client.delete_range("a", 0, 9), 10)

        asyncio.run(tour())

    def test_numpy_and_pandas_where_they_are(self):
        try:
            import numpy
            import pandas
        except ImportError as error:
            self.skipTest(str(error))
        self.client.create_series("n", 2)
        self.client.insert_at("n", numpy.int64(1), numpy.array([1.5, 2.5]))
        times = numpy.arange(2, 5)
        self.client.batch_insert("n", timestamps_ns=times, values=numpy.ones((3, 2), dtype=numpy.float32))
        frame = self.client.query_dataframe("n", start_ns=0, end_ns=10)
        self.assertEqual(list(frame.columns), ["v0", "v1"])
        self.assertEqual(len(frame), 4)
        self.assertEqual(frame.index[0], pandas.Timestamp(1, unit="ns", tz="UTC"))


@unittest.skipUnless(BINARY, "TSDB_SERVER_BINARY names no server")
class Settings(unittest.TestCase):
    """Servers that are set up otherwise."""

    def test_a_token(self):
        server = Server(TSDB_AUTH_TOKEN="sesame")
        self.addCleanup(server.stop)
        with TSDBClient("127.0.0.1", server.port, token="sesame") as client:
            self.assertEqual(client.list_series(), [])
        for token in (None, "wrong"):
            with TSDBClient("127.0.0.1", server.port, token=token, retries=0) as client:
                with self.assertRaises(TSDBError) as caught:
                    client.list_series()
                self.assertEqual(caught.exception.code, "UNAUTHORIZED")

    def test_pages_are_followed(self):
        server = Server(TSDB_MAX_RESULT_POINTS="100")
        self.addCleanup(server.stop)
        with TSDBClient("127.0.0.1", server.port) as client:
            client.create_series("p", 1)
            client.batch_insert("p", timestamps_ns=list(range(1000)), values=list(range(1000)))
            self.assertEqual(len(client.query_range("p", 0, 10_000)), 1000)
            self.assertEqual(len(client.query_range("p", 0, 10_000, limit=7)), 7)

    def test_a_restarted_server_is_found_again(self):
        server = Server()
        client = TSDBClient("127.0.0.1", server.port)
        self.addCleanup(client.close)
        client.create_series("r", 1)
        directory, port = server.directory, server.port
        server.process.kill()
        server.process.wait()
        server.process.stdout.close()
        command = [BINARY, "--port", str(port), "--data-dir", os.path.join(directory.name, "data")]
        environment = {**os.environ, "TSDB_METRICS_PORT": "0", "RUST_LOG": "warn"}
        server.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        self.addCleanup(server.stop)
        server.process.stdout.readline()
        self.assertIsInstance(client.insert("r", [1]), int)


if __name__ == "__main__":
    unittest.main()
