"""Calls as values: what to send, how to read the reply, and whether it may be sent twice.

The synchronous client, the asynchronous one and the pipelines all send these.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, Iterable, List, Mapping, Optional, Sequence, Type, TypeVar, Union

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
    DimensionDistance,
    DimensionStats,
    Findings,
    FlushResult,
    LoadResult,
    Match,
    Motif,
    Neighbor,
    Point,
    Pong,
    SaveResult,
    SeriesDistance,
    SeriesInfo,
    SeriesStats,
    Snippet,
    Watch,
    Window,
)

T = TypeVar("T")
Values = Union[Sequence[float], Any]
Labels = Mapping[str, str]
END_OF_TIME = 2**63 - 1


@dataclass(frozen=True)
class Page:
    """Points, and where the next page starts, if there is one."""

    points: List[Point]
    next_start_ns: Optional[int]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request."""

    kind: str
    data: Dict[str, Any]
    read: Callable[[Dict[str, Any]], T]
    #: Whether sending it twice does no more than sending it once.
    repeatable: bool = True

    def line(self) -> bytes:
        """The request as it is sent."""
        data = {key: value for key, value in self.data.items() if value is not None}
        try:
            text = json.dumps({"type": self.kind, "data": data}, allow_nan=False, default=_plain)
        except (TypeError, ValueError) as error:
            problem = _not_finite(data) or error
            raise TSDBError("INVALID_ARGUMENT", f"{self.kind} can't be sent: {problem}; use finite numbers") from error
        return text.encode("utf-8") + b"\n"

    def reply(self, line: bytes) -> T:
        """What the reply means."""
        try:
            reply = json.loads(line)
        except ValueError as error:
            raise TSDBError("CONNECTION_LOST", f"the reply is no JSON ({error}); is this a tsdb_server?") from error
        if not reply.get("ok"):
            error_of = reply.get("error") or {}
            raise TSDBError(error_of.get("code", "INTERNAL"), error_of.get("message", "no message"))
        return self.read(reply.get("data") or {})


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and our own points, as JSON knows them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, (set, frozenset)) or not isinstance(value, Iterable):
        raise TypeError(f"{type(value).__name__} is no number and no sequence of numbers")
    return list(value)


def _not_finite(value: Any, place: str = "") -> Optional[str]:
    """The first number that is not finite, and where it stands."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}"
    if value is None or isinstance(value, (str, bytes, int, float)):
        return None
    if isinstance(value, Mapping):
        parts = ((f"{place}.{name}" if place else str(name), part) for name, part in value.items())
    elif isinstance(value, (list, tuple)):
        parts = ((f"{place}[{at}]", part) for at, part in enumerate(value))
    else:
        try:
            return _not_finite(_plain(value), place)
        except TypeError:
            return None
    return next((found for found in (_not_finite(part, at) for at, part in parts) if found), None)


def _known(kind: Type[T], data: Mapping[str, Any]) -> T:
    """A reply's object; fields that a newer server adds are left out."""
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names})


def _timestamp(data: Dict[str, Any]) -> int:
    return int(data["timestamp_ns"])


def _page(data: Dict[str, Any]) -> Page:
    return Page([_known(Point, point) for point in data["points"]], data.get("next_start_ns"))


def _series_stats(data: Dict[str, Any]) -> SeriesStats:
    dimensions = [_known(DimensionStats, each) for each in data.get("per_dimension") or []]
    return _known(SeriesStats, {**data, "per_dimension": dimensions})


def _neighbors(data: Dict[str, Any], name: str) -> List[Neighbor]:
    return [_known(Neighbor, each) for each in data.get(name) or []]


def _dimensions(data: Dict[str, Any]) -> List[DimensionDistance]:
    return [_known(DimensionDistance, each) for each in data.get("dimensions") or []]


def _anomaly(data: Dict[str, Any]) -> Anomaly:
    more = {"neighbors": _neighbors(data, "neighbors"), "dimensions": _dimensions(data)}
    return _known(Anomaly, {**data, **more})


def _chain(data: Dict[str, Any]) -> Chain:
    return _known(Chain, {**data, "windows": [_known(Window, each) for each in data["windows"]]})


def _motif(data: Dict[str, Any]) -> Motif:
    pair = {"a": _known(Window, data["a"]), "b": _known(Window, data["b"])}
    more = {"occurrences": _neighbors(data, "occurrences"), "dimensions": _dimensions(data)}
    return _known(Motif, {**data, **pair, **more})


def create_series(
    name: str, dimension: int, if_not_exists: bool = False, value_type: str = "f64"
) -> Call[CreateResult]:
    data = {"name": name, "dimension": dimension, "if_not_exists": if_not_exists, "value_type": value_type}
    return Call("CreateSeries", data, lambda reply: _known(CreateResult, reply), repeatable=if_not_exists)


def insert(series: str, values: Values) -> Call[int]:
    return Call("Insert", {"series": series, "values": values}, _timestamp, repeatable=False)


def insert_with_labels(series: str, values: Values, labels: Labels) -> Call[int]:
    data = {"series": series, "values": values, "labels": dict(labels)}
    return Call("InsertWithLabels", data, _timestamp, repeatable=False)


def insert_at(series: str, timestamp_ns: int, values: Values) -> Call[int]:
    return Call("InsertAt", {"series": series, "timestamp_ns": timestamp_ns, "values": values}, _timestamp)


def insert_at_with_labels(series: str, timestamp_ns: int, values: Values, labels: Labels) -> Call[int]:
    data = {"series": series, "timestamp_ns": timestamp_ns, "values": values, "labels": dict(labels)}
    return Call("InsertAtWithLabels", data, _timestamp)


def _point(point: Any) -> Dict[str, Any]:
    if isinstance(point, Point):
        fields: Dict[str, Any] = {"timestamp_ns": point.timestamp_ns, "values": point.values}
        if point.labels:
            fields["labels"] = point.labels
        return fields
    if isinstance(point, Mapping):
        return dict(point)
    timestamp_ns, values, *labels = point
    fields = {"timestamp_ns": timestamp_ns, "values": values}
    if labels and labels[0]:
        fields["labels"] = dict(labels[0])
    return fields


def batch_insert(
    series: str,
    points: Optional[Iterable[Any]] = None,
    *,
    timestamps_ns: Optional[Sequence[int]] = None,
    values: Optional[Any] = None,
    labels: Optional[Labels] = None,
) -> Call[BatchResult]:
    read = lambda reply: _known(BatchResult, reply)  # noqa: E731
    if points is None:
        data = {"series": series, "timestamps_ns": timestamps_ns, "values": values}
        if labels:
            data["labels"] = dict(labels)
        return Call("BatchInsert", data, read, repeatable=timestamps_ns is not None)
    rows = [_point(point) for point in points]
    timed = all(row.get("timestamp_ns", row.get("timestamp")) is not None for row in rows)
    rows = [{key: value for key, value in row.items() if value is not None} for row in rows]
    data = {"series": series, "points": rows, "timestamps_ns": timestamps_ns, "values": values}
    return Call("BatchInsert", data, read, repeatable=timed)


def query_page(
    series: str, hours_back: float = 24.0, labels: Optional[Labels] = None, limit: Optional[int] = None
) -> Call[Page]:
    data = {"series": series, "hours_back": hours_back, "labels": labels, "limit": limit}
    return Call("Query", data, _page)


def query_range_page(
    series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None, limit: Optional[int] = None
) -> Call[Page]:
    data = {"series": series, "start_ns": start_ns, "end_ns": end_ns, "labels": labels, "limit": limit}
    return Call("QueryRange", data, _page)


def query(
    series: str, hours_back: float = 24.0, labels: Optional[Labels] = None, limit: Optional[int] = None
) -> Call[List[Point]]:
    call = query_page(series, hours_back, labels, limit)
    return Call(call.kind, call.data, lambda reply: _page(reply).points)


def query_range(
    series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None, limit: Optional[int] = None
) -> Call[List[Point]]:
    call = query_range_page(series, start_ns, end_ns, labels, limit)
    return Call(call.kind, call.data, lambda reply: _page(reply).points)


def find_similar(
    series: Optional[str],
    query_vector: Optional[Values],
    limit: int,
    threshold: Optional[float],
    start_ns: Optional[int],
    end_ns: Optional[int],
    labels: Optional[Labels],
    exact: bool,
    options: Mapping[str, Any],
) -> Call[List[Match]]:
    data = {
        "series": series,
        "query_vector": query_vector,
        "limit": limit,
        "threshold": threshold,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "labels": labels,
        "exact": exact,
        **options,
    }
    return Call("FindSimilar", data, lambda reply: [_known(Match, match) for match in reply["matches"]])


def _windows(
    kind: str,
    series: str,
    window: Union[int, str, None],
    k: int,
    start_ns: Optional[int],
    end_ns: Optional[int],
    labels: Optional[Labels],
    normalize: bool,
    options: Mapping[str, Any],
    name: str,
    row: Callable[[Dict[str, Any]], T],
) -> Call[Findings[T]]:
    def read(reply: Dict[str, Any]) -> Findings[T]:
        return Findings([row(each) for each in reply[name]], {key: reply[key] for key in reply if key != name})

    data = {
        "series": series,
        "window": window,
        "k": k,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "labels": labels,
        "normalize": normalize,
        # Names that Python keeps for itself, such as `with`, are written with a line behind.
        **{name.rstrip("_"): value for name, value in options.items()},
    }
    return Call(kind, data, read)


def find_anomalies(
    series: str,
    window: Union[int, str, None] = None,
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[Anomaly]]:
    return _windows("Anomaly", series, window, k, start_ns, end_ns, labels, normalize, options, "anomalies", _anomaly)


def find_motifs(
    series: str,
    window: Union[int, str],
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[Motif]]:
    return _windows("Motif", series, window, k, start_ns, end_ns, labels, normalize, options, "motifs", _motif)


def find_changes(
    series: str,
    window: Union[int, str],
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[Change]]:
    row = lambda each: _known(Change, each)  # noqa: E731
    return _windows("Segment", series, window, k, start_ns, end_ns, labels, normalize, options, "changes", row)


def find_chains(
    series: str,
    window: Union[int, str],
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[Chain]]:
    return _windows("Chains", series, window, k, start_ns, end_ns, labels, normalize, options, "chains", _chain)


def mpdist(
    series: str,
    other: str,
    window: Union[int, str],
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[SeriesDistance]]:
    row = lambda each: _known(SeriesDistance, each)  # noqa: E731
    options = {"with": other, **options}
    return _windows("MpDist", series, window, k, start_ns, end_ns, labels, normalize, options, "distances", row)


def find_snippets(
    series: str,
    window: Union[int, str],
    k: int = 3,
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
    normalize: bool = True,
    **options: Any,
) -> Call[Findings[Snippet]]:
    row = lambda each: _known(Snippet, each)  # noqa: E731
    return _windows("Snippets", series, window, k, start_ns, end_ns, labels, normalize, options, "snippets", row)


def watch_profile(
    series: str,
    window: int,
    labels: Optional[Labels] = None,
    threshold: Optional[float] = None,
    max_points: Optional[int] = None,
) -> Call[Watch]:
    data = {"series": series, "window": window, "labels": labels, "threshold": threshold, "max_points": max_points}
    return Call("WatchProfile", data, lambda reply: _known(Watch, reply))


def unwatch_profile(series: str, window: Optional[int] = None) -> Call[int]:
    data = {"series": series, "window": window}
    return Call("UnwatchProfile", data, lambda reply: int(reply["removed"]), repeatable=False)


def list_watches() -> Call[List[Watch]]:
    return Call("ListWatches", {}, lambda reply: [_known(Watch, each) for each in reply["watches"]])


def stats(series: str = "all") -> Call[Union[SeriesStats, DatabaseStats]]:
    def read(reply: Dict[str, Any]) -> Union[SeriesStats, DatabaseStats]:
        return _known(DatabaseStats, reply) if series == "all" else _series_stats(reply)

    return Call("GetStats", {"series": series}, read)


def list_series() -> Call[List[SeriesInfo]]:
    return Call("ListSeries", {}, lambda reply: [_known(SeriesInfo, each) for each in reply["series"]])


def delete_range(series: str, start_ns: int, end_ns: int, labels: Optional[Labels] = None) -> Call[Deleted]:
    data = {"series": series, "start_ns": start_ns, "end_ns": end_ns, "labels": labels}
    return Call("DeleteRange", data, lambda reply: Deleted(reply["deleted"]), repeatable=False)


def drop_series(name: str) -> Call[bool]:
    return Call("DropSeries", {"name": name}, lambda reply: bool(reply["dropped"]), repeatable=False)


def save(path: str) -> Call[SaveResult]:
    return Call("Save", {"path": path}, lambda reply: _known(SaveResult, reply))


def load(path: str) -> Call[LoadResult]:
    return Call("Load", {"path": path}, lambda reply: _known(LoadResult, reply))


def flush() -> Call[FlushResult]:
    return Call("Flush", {}, lambda reply: _known(FlushResult, reply))


def export_series(
    series: str,
    format: str = "json",
    start_ns: Optional[int] = None,
    end_ns: Optional[int] = None,
    labels: Optional[Labels] = None,
) -> Call[Union[List[Point], str]]:
    data = {"series": series, "format": format, "start_ns": start_ns, "end_ns": end_ns, "labels": labels}

    def read(reply: Dict[str, Any]) -> Union[List[Point], str]:
        return str(reply["csv"]) if "csv" in reply else _page(reply).points

    return Call("ExportSeries", data, read)


def auth(token: str) -> Call[str]:
    return Call("Auth", {"token": token}, lambda reply: str(reply["role"]))


def ping() -> Call[Pong]:
    return Call("Ping", {}, lambda reply: Pong(reply["message"], reply["version"]))


def help(command: Optional[str] = None) -> Call[List[CommandHelp]]:
    return Call("Help", {"command": command}, lambda reply: [_known(CommandHelp, each) for each in reply["commands"]])


def dataframe(points: List[Point]) -> Any:
    """Points as a pandas DataFrame: times (UTC) as index, values as v0, v1, …, labels as columns."""
    try:
        import pandas
    except ImportError as error:
        raise TSDBError("INVALID_ARGUMENT", "query_dataframe needs pandas; install it with pip install pandas") from error
    index = pandas.to_datetime([point.timestamp_ns for point in points], unit="ns", utc=True)
    dimension = len(points[0].values) if points else 0
    columns: Dict[str, Any] = {f"v{at}": [point.values[at] for point in points] for at in range(dimension)}
    for name in sorted({name for point in points for name in point.labels}):
        columns[name] = [point.labels.get(name) for point in points]
    return pandas.DataFrame(columns, index=pandas.DatetimeIndex(index, name="time"))
