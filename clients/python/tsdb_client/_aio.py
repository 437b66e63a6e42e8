"""The asynchronous client."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Any, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar, Union

from . import _calls
from ._calls import END_OF_TIME, Call, Labels, Values
from ._client import CHUNK_BYTES, Collected, backoff, results, tls_context
from ._errors import TSDBError
from ._types import (
    Anomaly,
    BatchResult,
    Chain,
    Change,
    CommandHelp,
    CreateResult,
    DatabaseStats,
    Deleted,
    Findings,
    FlushResult,
    LoadResult,
    Match,
    Motif,
    Point,
    Pong,
    SaveResult,
    SeriesDistance,
    SeriesInfo,
    SeriesStats,
    Snippet,
    Watch,
)

T = TypeVar("T")

#: Longest reply line.
LINE_BYTES_MAX = 1 << 30

Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncTSDBClient:
    """A connection to a server, safe to share between tasks; the methods are those of ``TSDBClient``."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6380,
        timeout: float = 30,
        retries: int = 3,
        token: Optional[str] = None,
        tls: bool = False,
        tls_ca: Optional[str] = None,
        tls_cert: Optional[str] = None,
        tls_key: Optional[str] = None,
    ) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._retries = retries
        self._token = token
        self._tls: Optional[ssl.SSLContext] = tls_context(tls, tls_ca, tls_cert, tls_key)
        self._lock: Optional[asyncio.Lock] = None
        self._streams: Optional[Streams] = None

    async def __aenter__(self) -> "AsyncTSDBClient":
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Closes the connection."""
        await self.close()

    async def close(self) -> None:
        """Closes the connection; a later call opens another."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            try:
                await streams[1].wait_closed()
            except OSError:
                pass  # It was broken already.

    async def _connect(self) -> Streams:
        if self._streams is not None:
            # A server that was restarted has closed it.
            if not self._streams[0].at_eof() and not self._streams[1].is_closing():
                return self._streams
            await self.close()
        host, port = self._address
        opening = asyncio.open_connection(host, port, ssl=self._tls, limit=LINE_BYTES_MAX)
        try:
            self._streams = await asyncio.wait_for(opening, self._timeout)
        except (OSError, asyncio.TimeoutError) as error:
            raise TSDBError(
                "CONNECTION_FAILED", f"can't connect to {host}:{port}: {error}; is tsdb_server running?"
            ) from error
        if self._token is not None:
            call = _calls.auth(self._token)
            lines: List[bytes] = []
            try:
                await self._exchange(self._streams, [call], lines)
                call.reply(lines[0])
            except TSDBError:
                await self.close()
                raise
        return self._streams

    async def _exchange(self, streams: Streams, calls: Sequence[Call[Any]], lines: List[bytes]) -> None:
        reader, writer = streams
        requests = [call.line() for call in calls]
        at = 0
        while at < len(requests):
            end, size = at, 0
            while end < len(requests) and (end == at or size + len(requests[end]) <= CHUNK_BYTES):
                size += len(requests[end])
                end += 1
            writer.write(b"".join(requests[at:end]))
            await asyncio.wait_for(writer.drain(), self._timeout)
            for _ in range(at, end):
                line = await asyncio.wait_for(reader.readline(), self._timeout)
                if not line.endswith(b"\n"):
                    raise ConnectionError("the server closed the connection")
                lines.append(line)
            at = end

    async def _send(self, calls: Sequence[Call[Any]]) -> List[bytes]:
        if self._lock is None:
            self._lock = asyncio.Lock()
        lines: List[bytes] = []
        attempt = 0
        while True:
            try:
                async with self._lock:
                    streams = await self._connect()
                    try:
                        await self._exchange(streams, calls[len(lines) :], lines)
                    except BaseException:
                        # Cancelled or broken: replies would no longer match.
                        await self.close()
                        raise
                return lines
            except asyncio.TimeoutError as error:
                raise TSDBError("TIMEOUT", f"no reply within {self._timeout} seconds; the call may still run") from error
            except (OSError, ValueError) as error:
                attempt += 1
                if attempt > self._retries or not all(call.repeatable for call in calls[len(lines) :]):
                    what = "the calls" if len(calls) > 1 else calls[0].kind
                    raise TSDBError("CONNECTION_LOST", f"{error}; {what} may or may not have run") from error
            except TSDBError as error:
                attempt += 1
                if error.code != "CONNECTION_FAILED" or attempt > self._retries:
                    raise
            await asyncio.sleep(backoff(attempt))

    async def _call(self, call: Call[T]) -> T:
        return call.reply((await self._send([call]))[0])

    async def create_series(
        self, name: str, dimension: int, if_not_exists: bool = False, value_type: str = "f64"
    ) -> CreateResult:
        """Makes a series whose points have ``dimension`` values."""
        return await self._call(_calls.create_series(name, dimension, if_not_exists, value_type))

    async def insert(self, series: str, values: Values) -> int:
        """Writes a point now; returns its timestamp."""
        return await self._call(_calls.insert(series, values))

    async def insert_with_labels(self, series: str, values: Values, labels: Labels) -> int:
        """Writes a point with labels now; returns its timestamp."""
        return await self._call(_calls.insert_with_labels(series, values, labels))

    async def insert_at(self, series: str, timestamp_ns: int, values: Values) -> int:
        """Writes a point at a time, replacing the one that is there; returns its timestamp."""
        return await self._call(_calls.insert_at(series, timestamp_ns, values))

    async def insert_at_with_labels(self, series: str, timestamp_ns: int, values: Values, labels: Labels) -> int:
        """Writes a point with labels at a time; returns its timestamp."""
        return await self._call(_calls.insert_at_with_labels(series, timestamp_ns, values, labels))

    async def batch_insert(
        self,
        series: str,
        points: Optional[Iterable[Any]] = None,
        *,
        timestamps_ns: Optional[Sequence[int]] = None,
        values: Optional[Any] = None,
        labels: Optional[Labels] = None,
    ) -> BatchResult:
        """Writes many points, all or none of them."""
        call = _calls.batch_insert(series, points, timestamps_ns=timestamps_ns, values=values, labels=labels)
        return await self._call(call)

    async def query(
        self, series: str, hours_back: float = 24.0, labels: Optional[Labels] = None, limit: Optional[int] = None
    ) -> List[Point]:
        """The points of the last hours, oldest first."""
        page = await self._call(_calls.query_page(series, hours_back, labels, limit))
        return await self._rest(series, page, END_OF_TIME, labels, limit)

    async def query_range(
        self, series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None, limit: Optional[int] = None
    ) -> List[Point]:
        """The points from ``start_ns`` to ``end_ns``, both inclusive, oldest first."""
        page = await self._call(_calls.query_range_page(series, start_ns, end_ns, labels, limit))
        return await self._rest(series, page, end_ns, labels, limit)

    async def _rest(
        self, series: str, page: _calls.Page, end_ns: int, labels: Optional[Labels], limit: Optional[int]
    ) -> List[Point]:
        points = page.points
        while page.next_start_ns is not None and limit is None:
            page = await self._call(_calls.query_range_page(series, page.next_start_ns, end_ns, labels))
            points.extend(page.points)
        return points

    async def query_dataframe(
        self,
        series: str,
        hours_back: float = 24.0,
        *,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
    ) -> Any:
        """The same as a pandas DataFrame: the last hours, or from ``start_ns`` to ``end_ns``."""
        if start_ns is None and end_ns is None:
            return _calls.dataframe(await self.query(series, hours_back, labels))
        start = -(2**63) if start_ns is None else start_ns
        end = END_OF_TIME if end_ns is None else end_ns
        return _calls.dataframe(await self.query_range(series, start, end, labels))

    async def find_similar(
        self,
        series: Optional[str],
        query_vector: Optional[Values] = None,
        limit: int = 10,
        threshold: Optional[float] = None,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        exact: bool = True,
        **options: Any,
    ) -> List[Match]:
        """The points, or windows of points, that are most like a vector; best first.

        Options: ``recall_target`` (with ``exact=False``), ``metric`` (``"cosine"``, ``"dot"``,
        ``"euclidean"``), ``normalize``, ``include_values``, ``query`` in the place of the vector
        (``{"series", "timestamp_ns", "window"}``: what happened then), and ``series_pattern`` with
        ``series=None``.
        """
        call = _calls.find_similar(series, query_vector, limit, threshold, start_ns, end_ns, labels, exact, options)
        return await self._call(call)

    async def find_anomalies(
        self,
        series: str,
        window: Union[int, str, None] = None,
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[Anomaly]:
        """The ``k`` most unusual windows of ``window`` points; worst first.

        ``window="auto"`` leaves the length to the server, ``windows=[10, 20]`` in its place asks for all lengths
        from 10 to 20. ``options`` are the request's other fields,
        such as ``left=True``, ``neighbor=2``, ``neighbors=5``, ``max_gap="5m"``, ``join_labels=True``,
        ``timeout_ms=500``; docs/protocol.md has them all. ``with_`` is the field ``with``, for Python keeps
        the word for itself.
        """
        return await self._call(_calls.find_anomalies(series, window, k, start_ns, end_ns, labels, normalize, **options))

    async def find_motifs(
        self,
        series: str,
        window: Union[int, str],
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[Motif]:
        """The ``k`` closest pairs of windows of ``window`` points; closest first.

        ``options`` as in ``find_anomalies``, but ``flat=True`` and ``occurrences=True`` or ``radius=…`` in the
        place of ``left``, ``neighbor`` and ``neighbors``.
        """
        return await self._call(_calls.find_motifs(series, window, k, start_ns, end_ns, labels, normalize, **options))

    async def find_changes(
        self,
        series: str,
        window: Union[int, str],
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[Change]:
        """The ``k`` clearest changes from one regime to another; clearest first.

        With ``curve=True``, ``summary["curves"]`` has the curves whose lowest places they are.
        """
        return await self._call(_calls.find_changes(series, window, k, start_ns, end_ns, labels, normalize, **options))

    async def find_chains(
        self,
        series: str,
        window: Union[int, str],
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[Chain]:
        """The ``k`` longest chains of windows that are each like the one before; longest first."""
        return await self._call(_calls.find_chains(series, window, k, start_ns, end_ns, labels, normalize, **options))

    async def mpdist(
        self,
        series: str,
        other: str,
        window: Union[int, str],
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[SeriesDistance]:
        """How far two series are from each other: the ``k`` nearest pairs of their label sets."""
        return await self._call(_calls.mpdist(series, other, window, k, start_ns, end_ns, labels, normalize, **options))

    async def find_snippets(
        self,
        series: str,
        window: Union[int, str],
        k: int = 3,
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
        normalize: bool = True,
        **options: Any,
    ) -> Findings[Snippet]:
        """The ``k`` stretches of ``window`` points that stand best for all of a series; best first.

        ``sub_window`` is the length of the windows by which they are compared, half of theirs if not given.
        """
        return await self._call(_calls.find_snippets(series, window, k, start_ns, end_ns, labels, normalize, **options))

    async def watch_profile(
        self,
        series: str,
        window: int,
        labels: Optional[Labels] = None,
        threshold: Optional[float] = None,
        max_points: Optional[int] = None,
    ) -> Watch:
        """Keeps the left profile of a series from now on, also across restarts of the server.

        Alerts come to connections that send ``Subscribe``, which this client does not.
        """
        return await self._call(_calls.watch_profile(series, window, labels, threshold, max_points))

    async def unwatch_profile(self, series: str, window: Optional[int] = None) -> int:
        """Keeps it no longer, of one window or of all; returns how many there were."""
        return await self._call(_calls.unwatch_profile(series, window))

    async def list_watches(self) -> List[Watch]:
        """Everything that is watched, and how far it is."""
        return await self._call(_calls.list_watches())

    async def stats(self, series: str = "all") -> Union[SeriesStats, DatabaseStats]:
        """Figures of one series, or of everything."""
        return await self._call(_calls.stats(series))

    async def list_series(self) -> List[SeriesInfo]:
        """Every series, sorted by name."""
        return await self._call(_calls.list_series())

    async def delete_range(self, series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None) -> Deleted:
        """Deletes points; returns how many."""
        return await self._call(_calls.delete_range(series, start_ns, end_ns, labels))

    async def drop_series(self, name: str) -> bool:
        """Removes a series and its points."""
        return await self._call(_calls.drop_series(name))

    async def save(self, path: str) -> SaveResult:
        """Writes a snapshot of everything into the server's snapshot directory."""
        return await self._call(_calls.save(path))

    async def load(self, path: str) -> LoadResult:
        """Replaces everything by a snapshot."""
        return await self._call(_calls.load(path))

    async def flush(self) -> FlushResult:
        """Has the server write what is in memory to segments."""
        return await self._call(_calls.flush())

    async def export_series(
        self,
        series: str,
        format: str = "json",
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
    ) -> Union[List[Point], str]:
        """A whole series: points, or with ``format="csv"`` a text."""
        return await self._call(_calls.export_series(series, format, start_ns, end_ns, labels))

    async def ping(self) -> Pong:
        """``"PONG"``, with the server's version."""
        return await self._call(_calls.ping())

    async def help(self, command: Optional[str] = None) -> List[CommandHelp]:
        """What can be asked."""
        return await self._call(_calls.help(command))

    def pipeline(self) -> "AsyncPipeline":
        """Collects calls, to send them together."""
        return AsyncPipeline(self)


class AsyncPipeline(Collected):
    """Calls that are sent together and answered in order."""

    def __init__(self, client: AsyncTSDBClient) -> None:
        super().__init__()
        self._client = client

    async def __aenter__(self) -> "AsyncPipeline":
        """The pipeline itself."""
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Sends what was collected and not executed, unless there was an error."""
        if kind is None and self._calls:
            await self.execute()

    async def execute(self, raise_on_error: bool = True) -> List[Any]:
        """Sends the calls; returns their results in order."""
        calls = self._take()
        return results(calls, await self._client._send(calls), raise_on_error) if calls else []
