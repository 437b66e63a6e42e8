"""What calls return: small objects whose attributes are the reply's fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """A stored point."""

    timestamp_ns: int
    values: List[float]
    labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A point, or a window of points, that is like the query; ``values`` are time-major."""

    timestamp_ns: int
    #: Empty where they were not asked for.
    values: List[float] = field(default_factory=list)
    similarity: float = 0.0
    labels: Dict[str, str] = field(default_factory=dict)
    end_timestamp_ns: Optional[int] = None
    #: With the metric ``"euclidean"``.
    distance: Optional[float] = None
    #: Where a pattern of names was searched.
    series: Optional[str] = None


@dataclass(frozen=True)
class Window:
    """A window of points."""

    timestamp_ns: int
    end_timestamp_ns: int
    index: int


@dataclass(frozen=True)
class Neighbor(Window):
    """A window that another one is like."""

    #: From the other one.
    distance: float = 0.0
    #: Those of its points, where it is in another selection (``with``).
    labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DimensionDistance:
    """How far two windows are from each other in one dimension, counted from 0."""

    dimension: int
    distance: float


@dataclass(frozen=True)
class Anomaly:
    """A window far from everything like it."""

    timestamp_ns: int
    end_timestamp_ns: int
    index: int
    #: None, as the two after it, where the window has no neighbour: see ``flags``.
    score: Optional[float]
    neighbor_timestamp_ns: Optional[int]
    neighbor_index: Optional[int]
    #: The score as a part of the greatest there can be; z-normalised windows only.
    normalized_score: Optional[float] = None
    #: Its points, where several lengths were asked for (``windows``).
    window: Optional[int] = None
    #: ``"constant"``, ``"near_gap"``, ``"no_neighbor"``.
    flags: List[str] = field(default_factory=list)
    #: Those of its points, where each label set was analysed by itself.
    labels: Dict[str, str] = field(default_factory=dict)
    #: Those of the neighbour's points, where it was sought in another selection (``with``).
    neighbor_labels: Dict[str, str] = field(default_factory=dict)
    #: As many of the nearest windows as were asked for (``neighbors``).
    neighbors: List[Neighbor] = field(default_factory=list)
    #: What makes the score, where points have several values.
    dimensions: List[DimensionDistance] = field(default_factory=list)


@dataclass(frozen=True)
class Motif:
    """A pair of windows that are alike; ``a`` is the earlier."""

    distance: float
    a: Window
    b: Window
    #: The distance as a part of the greatest there can be; z-normalised windows only.
    normalized_score: Optional[float] = None
    #: ``"constant"``, ``"near_gap"``: what holds of either window.
    flags: List[str] = field(default_factory=list)
    #: Those of the windows' points, where each label set was analysed by itself.
    labels: Dict[str, str] = field(default_factory=dict)
    #: Those of the points of ``b``, where it was sought in another selection (``with``).
    neighbor_labels: Dict[str, str] = field(default_factory=dict)
    #: How far occurrences may be from ``a``, where they were asked for.
    radius: Optional[float] = None
    #: All windows like ``a`` (``occurrences=True`` or ``radius=…``).
    occurrences: List[Neighbor] = field(default_factory=list)
    #: What makes the distance, where points have several values.
    dimensions: List[DimensionDistance] = field(default_factory=list)


@dataclass(frozen=True)
class Change(Window):
    """The first window of another regime."""

    #: Neighbours across it, as a part of those there would be without regimes: 0 to 1.
    score: float = 0.0
    flags: List[str] = field(default_factory=list)
    #: Those of its points, where each label set was analysed by itself.
    labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chain:
    """Windows each of which is like the one before it."""

    length: int
    windows: List[Window]
    #: From each window to the next.
    distances: List[float]
    #: Those of its points, where each label set was analysed by itself.
    labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeriesDistance:
    """How far two series, or label sets of them, are from each other."""

    distance: float
    #: The distance as a part of the greatest there can be; z-normalised windows only.
    normalized_score: Optional[float] = None
    labels: Dict[str, str] = field(default_factory=dict)
    neighbor_labels: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snippet(Window):
    """A stretch that stands for others."""

    #: The part of all windows that are nearer to it than to the other snippets.
    fraction: float = 0.0
    #: How far all windows are from it and those before it.
    area: float = 0.0
    #: Those of its points, where each label set was analysed by itself.
    labels: Dict[str, str] = field(default_factory=dict)


class Findings(List[T]):
    """What an analysis found, and what was searched for it."""

    #: The reply's other fields: ``window``, ``n``, ``exact``, ``coverage``, ``max_gap_ns`` and so on.
    summary: Dict[str, Any]

    def __init__(self, rows: Iterable[T], summary: Dict[str, Any]) -> None:
        """``rows`` and what else the reply says."""
        super().__init__(rows)
        self.summary = summary

    @property
    def window(self) -> int:
        """Points that a window has."""
        return int(self.summary["window"])

    @property
    def exact(self) -> bool:
        """Whether the time sufficed for the whole answer."""
        return bool(self.summary.get("exact", True))

    @property
    def coverage(self) -> float:
        """The part of all pairs of windows that was looked at, 0 to 1."""
        return float(self.summary.get("coverage", 1.0))


@dataclass(frozen=True)
class CreateResult:
    """A series, and whether this call made it."""

    series: str
    dimension: int
    value_type: str
    created: bool


@dataclass(frozen=True)
class BatchResult:
    """What a batch stored."""

    inserted: int
    first_timestamp_ns: int
    last_timestamp_ns: int


class Deleted(int):
    """The number of points that a call deleted."""

    @property
    def deleted(self) -> int:
        """The same number."""
        return int(self)


class Pong(str):
    """``"PONG"``, and who said so."""

    version: str

    def __new__(cls, message: str, version: str) -> "Pong":
        """A greeting from a server of ``version``."""
        pong = super().__new__(cls, message)
        pong.version = version
        return pong

    @property
    def message(self) -> str:
        """The same text."""
        return str(self)


@dataclass(frozen=True)
class SeriesInfo:
    """A series in a list."""

    name: str
    dimension: int
    value_type: str
    count: int


@dataclass(frozen=True)
class DimensionStats:
    """Figures of one value of the points; ``stddev`` is the population's."""

    min: float
    max: float
    mean: float
    stddev: float


@dataclass(frozen=True)
class SeriesStats:
    """Figures of one series."""

    series: str
    dimension: int
    value_type: str
    count: int
    first_timestamp_ns: Optional[int]
    last_timestamp_ns: Optional[int]
    label_sets: int
    segments: int
    memory_bytes: int
    disk_bytes: int
    per_dimension: List[DimensionStats]


@dataclass(frozen=True)
class DatabaseStats:
    """Figures of everything."""

    version: str
    uptime_seconds: int
    series: int
    points: int
    memory_bytes: int
    disk_bytes: int
    shards: int
    wal_bytes: int
    segments: int


@dataclass(frozen=True)
class Watch:
    """A profile that is kept while points come."""

    series: str
    window: int
    threshold: float
    max_points: int
    labels: Dict[str, str] = field(default_factory=dict)
    #: Points that are kept.
    points: int = 0
    first_timestamp_ns: Optional[int] = None
    last_timestamp_ns: Optional[int] = None
    #: The score of the newest window, 0 to 1.
    normalized_score: Optional[float] = None
    #: Since the server started.
    alerts: int = 0
    #: For how long there have been points that it has not seen.
    behind_ms: int = 0
    #: Why it does not go on, if it does not.
    problem: Optional[str] = None


@dataclass(frozen=True)
class SaveResult:
    """A snapshot that was written."""

    path: str
    bytes: int
    series: int
    points: int


@dataclass(frozen=True)
class LoadResult:
    """A snapshot that was loaded."""

    path: str
    series: int
    points: int


@dataclass(frozen=True)
class FlushResult:
    """What a flush wrote."""

    flushed_points: int
    segments_written: int


@dataclass(frozen=True)
class CommandHelp:
    """A command, in both dialects' spelling."""

    name: str
    json_type: str
    syntax: str
    description: str
