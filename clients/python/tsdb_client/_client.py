"""The synchronous client."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Any, Callable, Iterable, List, Optional, Sequence, Type, TypeVar, Union

from . import _calls
from ._calls import END_OF_TIME, Call, Labels, Values
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

#: Bytes of requests sent before their replies are read; well within what sockets hold.
CHUNK_BYTES = 32 << 10


def backoff(attempt: int) -> float:
    """Seconds to wait before an attempt, counted from 1."""
    return float(min(0.05 * 2 ** (attempt - 1), 2.0))


def tls_context(
    tls: bool, tls_ca: Optional[str], tls_cert: Optional[str], tls_key: Optional[str]
) -> Optional[ssl.SSLContext]:
    """The context, where any of the settings asks for TLS."""
    if not (tls or tls_ca or tls_cert):
        return None
    for path in filter(None, (tls_ca, tls_cert, tls_key)):
        # The error of ssl does not name the file.
        with open(path, "rb"):
            pass
    context = ssl.create_default_context(cafile=tls_ca)
    if tls_cert:
        context.load_cert_chain(tls_cert, tls_key)
    return context


class _Broken(Exception):
    """The connection broke."""

    def __init__(self, cause: BaseException, sent: bool) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.sent = sent


class TSDBClient:
    """A connection to a server, safe to share between threads.

    ``timeout`` is in seconds, for connecting and for each reply. ``retries`` is how often a call is
    sent again after the connection broke; only calls that may be sent twice without harm are.
    """

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
        self._tls = tls_context(tls, tls_ca, tls_cert, tls_key)
        self._lock = threading.RLock()
        self._socket: Optional[socket.socket] = None
        self._reader: Any = None

    def __enter__(self) -> "TSDBClient":
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection; a later call opens another."""
        with self._lock:
            reader, connection = self._reader, self._socket
            self._reader = self._socket = None
            for each in (reader, connection):
                if each is not None:
                    try:
                        each.close()
                    except OSError:
                        pass  # It was broken already.

    def _connect(self) -> socket.socket:
        if self._socket is not None:
            # A server that was restarted has closed it: then there is something to read.
            readable = select.select([self._socket], [], [], 0)[0] if self._socket.fileno() < 1024 else []
            if not readable:
                return self._socket
            self.close()
        try:
            connection = socket.create_connection(self._address, self._timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._address[0])
        except OSError as error:
            where = f"{self._address[0]}:{self._address[1]}"
            raise TSDBError("CONNECTION_FAILED", f"can't connect to {where}: {error}; is tsdb_server running?") from error
        self._socket, self._reader = connection, connection.makefile("rb")
        if self._token is not None:
            try:
                self._exchange(connection, [_calls.auth(self._token)], [])
            except TSDBError:
                self.close()
                raise
        return connection

    def _exchange(self, connection: socket.socket, calls: Sequence[Call[Any]], lines: List[bytes]) -> None:
        """Sends calls and collects their reply lines in ``lines``; for AUTH, checks it."""
        requests = [call.line() for call in calls]
        sent = False
        at = 0
        try:
            while at < len(requests):
                end, size = at, 0
                while end < len(requests) and (end == at or size + len(requests[end]) <= CHUNK_BYTES):
                    size += len(requests[end])
                    end += 1
                sent = True
                connection.sendall(b"".join(requests[at:end]))
                for _ in range(at, end):
                    line = self._reader.readline()
                    if not line.endswith(b"\n"):
                        raise ConnectionError("the server closed the connection")
                    lines.append(line)
                at = end
        except socket.timeout as error:
            self.close()
            raise TSDBError("TIMEOUT", f"no reply within {self._timeout} seconds; the call may still run") from error
        except (OSError, ValueError) as error:
            self.close()
            raise _Broken(error, sent) from error
        if calls and calls[0].kind == "Auth":
            calls[0].reply(lines[0])

    def _send(self, calls: Sequence[Call[Any]]) -> List[bytes]:
        """The reply lines of calls, over as many connections as it takes."""
        lines: List[bytes] = []
        attempt = 0
        while True:
            try:
                with self._lock:
                    connection = self._connect()
                    self._exchange(connection, calls[len(lines) :], lines)
                return lines
            except _Broken as broken:
                attempt += 1
                repeatable = all(call.repeatable for call in calls[len(lines) :])
                if attempt > self._retries or not repeatable:
                    what = "the calls" if len(calls) > 1 else calls[0].kind
                    raise TSDBError(
                        "CONNECTION_LOST", f"{broken}; {what} may or may not have run"
                    ) from broken
            except TSDBError as error:
                # Nothing was sent.
                attempt += 1
                if error.code != "CONNECTION_FAILED" or attempt > self._retries:
                    raise
            time.sleep(backoff(attempt))

    def _call(self, call: Call[T]) -> T:
        return call.reply(self._send([call])[0])

    def create_series(
        self, name: str, dimension: int, if_not_exists: bool = False, value_type: str = "f64"
    ) -> CreateResult:
        """Makes a series whose points have ``dimension`` values."""
        return self._call(_calls.create_series(name, dimension, if_not_exists, value_type))

    def insert(self, series: str, values: Values) -> int:
        """Writes a point now; returns its timestamp."""
        return self._call(_calls.insert(series, values))

    def insert_with_labels(self, series: str, values: Values, labels: Labels) -> int:
        """Writes a point with labels now; returns its timestamp."""
        return self._call(_calls.insert_with_labels(series, values, labels))

    def insert_at(self, series: str, timestamp_ns: int, values: Values) -> int:
        """Writes a point at a time, replacing the one that is there; returns its timestamp."""
        return self._call(_calls.insert_at(series, timestamp_ns, values))

    def insert_at_with_labels(self, series: str, timestamp_ns: int, values: Values, labels: Labels) -> int:
        """Writes a point with labels at a time; returns its timestamp."""
        return self._call(_calls.insert_at_with_labels(series, timestamp_ns, values, labels))

    def batch_insert(
        self,
        series: str,
        points: Optional[Iterable[Any]] = None,
        *,
        timestamps_ns: Optional[Sequence[int]] = None,
        values: Optional[Any] = None,
        labels: Optional[Labels] = None,
    ) -> BatchResult:
        """Writes many points, all or none of them.

        Either ``points``: :class:`Point`, mappings, or (timestamp_ns, values[, labels]); or columns:
        ``timestamps_ns`` and ``values``, with ``labels`` for all.
        """
        call = _calls.batch_insert(series, points, timestamps_ns=timestamps_ns, values=values, labels=labels)
        return self._call(call)

    def query(
        self, series: str, hours_back: float = 24.0, labels: Optional[Labels] = None, limit: Optional[int] = None
    ) -> List[Point]:
        """The points of the last hours, oldest first."""
        page = self._call(_calls.query_page(series, hours_back, labels, limit))
        return self._rest(series, page, END_OF_TIME, labels, limit)

    def query_range(
        self, series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None, limit: Optional[int] = None
    ) -> List[Point]:
        """The points from ``start_ns`` to ``end_ns``, both inclusive, oldest first."""
        page = self._call(_calls.query_range_page(series, start_ns, end_ns, labels, limit))
        return self._rest(series, page, end_ns, labels, limit)

    def _rest(
        self, series: str, page: _calls.Page, end_ns: int, labels: Optional[Labels], limit: Optional[int]
    ) -> List[Point]:
        points = page.points
        while page.next_start_ns is not None and limit is None:
            page = self._call(_calls.query_range_page(series, page.next_start_ns, end_ns, labels))
            points.extend(page.points)
        return points

    def query_dataframe(
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
            return _calls.dataframe(self.query(series, hours_back, labels))
        start = -(2**63) if start_ns is None else start_ns
        end = END_OF_TIME if end_ns is None else end_ns
        return _calls.dataframe(self.query_range(series, start, end, labels))

    def find_similar(
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
        return self._call(call)

    def find_anomalies(
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
        return self._call(_calls.find_anomalies(series, window, k, start_ns, end_ns, labels, normalize, **options))

    def find_motifs(
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
        return self._call(_calls.find_motifs(series, window, k, start_ns, end_ns, labels, normalize, **options))

    def find_changes(
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
        return self._call(_calls.find_changes(series, window, k, start_ns, end_ns, labels, normalize, **options))

    def find_chains(
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
        return self._call(_calls.find_chains(series, window, k, start_ns, end_ns, labels, normalize, **options))

    def mpdist(
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
        return self._call(_calls.mpdist(series, other, window, k, start_ns, end_ns, labels, normalize, **options))

    def find_snippets(
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
        return self._call(_calls.find_snippets(series, window, k, start_ns, end_ns, labels, normalize, **options))

    def watch_profile(
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
        return self._call(_calls.watch_profile(series, window, labels, threshold, max_points))

    def unwatch_profile(self, series: str, window: Optional[int] = None) -> int:
        """Keeps it no longer, of one window or of all; returns how many there were."""
        return self._call(_calls.unwatch_profile(series, window))

    def list_watches(self) -> List[Watch]:
        """Everything that is watched, and how far it is."""
        return self._call(_calls.list_watches())

    def stats(self, series: str = "all") -> Union[SeriesStats, DatabaseStats]:
        """Figures of one series, or of everything."""
        return self._call(_calls.stats(series))

    def list_series(self) -> List[SeriesInfo]:
        """Every series, sorted by name."""
        return self._call(_calls.list_series())

    def delete_range(self, series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None) -> Deleted:
        """Deletes points; returns how many."""
        return self._call(_calls.delete_range(series, start_ns, end_ns, labels))

    def drop_series(self, name: str) -> bool:
        """Removes a series and its points."""
        return self._call(_calls.drop_series(name))

    def save(self, path: str) -> SaveResult:
        """Writes a snapshot of everything into the server's snapshot directory."""
        return self._call(_calls.save(path))

    def load(self, path: str) -> LoadResult:
        """Replaces everything by a snapshot."""
        return self._call(_calls.load(path))

    def flush(self) -> FlushResult:
        """Has the server write what is in memory to segments."""
        return self._call(_calls.flush())

    def export_series(
        self,
        series: str,
        format: str = "json",
        start_ns: Optional[int] = None,
        end_ns: Optional[int] = None,
        labels: Optional[Labels] = None,
    ) -> Union[List[Point], str]:
        """A whole series: points, or with ``format="csv"`` a text."""
        return self._call(_calls.export_series(series, format, start_ns, end_ns, labels))

    def ping(self) -> Pong:
        """``"PONG"``, with the server's version."""
        return self._call(_calls.ping())

    def help(self, command: Optional[str] = None) -> List[CommandHelp]:
        """What can be asked."""
        return self._call(_calls.help(command))

    def pipeline(self) -> "Pipeline":
        """Collects calls, to send them together."""
        return Pipeline(self)


class Collected:
    """Calls in order; every method of a client that is one request is one here."""

    def __init__(self) -> None:
        self._calls: List[Call[Any]] = []

    def __len__(self) -> int:
        """The number of calls that wait."""
        return len(self._calls)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The method that collects a call of this name."""
        make = getattr(_calls, name, None) if name in METHODS else None
        if make is None:
            raise AttributeError(f"a pipeline has no '{name}'; it has {', '.join(METHODS)}")

        def collect(*args: Any, **kwargs: Any) -> "Collected":
            call = make(*args, **kwargs)
            call.line()  # What can't be sent is an error here, not in the middle.
            self._calls.append(call)
            return self

        return collect

    def _take(self) -> List[Call[Any]]:
        calls, self._calls = self._calls, []
        return calls


#: What a pipeline can collect.
METHODS = (
    "create_series",
    "insert",
    "insert_with_labels",
    "insert_at",
    "insert_at_with_labels",
    "batch_insert",
    "query",
    "query_range",
    "find_similar",
    "find_anomalies",
    "find_motifs",
    "find_changes",
    "find_chains",
    "mpdist",
    "find_snippets",
    "watch_profile",
    "unwatch_profile",
    "list_watches",
    "stats",
    "list_series",
    "delete_range",
    "drop_series",
    "save",
    "load",
    "flush",
    "export_series",
    "ping",
    "help",
)


def results(calls: Sequence[Call[Any]], lines: Sequence[bytes], raise_on_error: bool) -> List[Any]:
    """What replies mean; an error is raised once all are read, or stands in its place."""
    found: List[Any] = []
    first: Optional[TSDBError] = None
    for call, line in zip(calls, lines):
        try:
            found.append(call.reply(line))
        except TSDBError as error:
            first = first or error
            found.append(error)
    if first is not None and raise_on_error:
        raise first
    return found


class Pipeline(Collected):
    """Calls that are sent together and answered in order."""

    def __init__(self, client: TSDBClient) -> None:
        super().__init__()
        self._client = client

    def __enter__(self) -> "Pipeline":
        """The pipeline itself."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Sends what was collected and not executed, unless there was an error."""
        if kind is None and self._calls:
            self.execute()

    def execute(self, raise_on_error: bool = True) -> List[Any]:
        """Sends the calls; returns their results in order.

        The first error is raised when all replies are in; with ``raise_on_error=False`` errors stand
        among the results.
        """
        calls = self._take()
        return results(calls, self._client._send(calls), raise_on_error) if calls else []
