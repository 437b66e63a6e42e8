"""Client of TSDB Vector."""

from ._aio import AsyncPipeline, AsyncTSDBClient
from ._client import Pipeline, TSDBClient
from ._errors import TSDBError
from ._types import (
    Anomaly,
    BatchResult,
    CommandHelp,
    CreateResult,
    DatabaseStats,
    Deleted,
    DimensionStats,
    Findings,
    FlushResult,
    LoadResult,
    Match,
    Motif,
    Point,
    Pong,
    SaveResult,
    SeriesInfo,
    SeriesStats,
    Window,
)

__all__ = [
    "Anomaly",
    "AsyncPipeline",
    "AsyncTSDBClient",
    "BatchResult",
    "CommandHelp",
    "CreateResult",
    "DatabaseStats",
    "Deleted",
    "DimensionStats",
    "Findings",
    "FlushResult",
    "LoadResult",
    "Match",
    "Motif",
    "Pipeline",
    "Point",
    "Pong",
    "SaveResult",
    "SeriesInfo",
    "SeriesStats",
    "TSDBClient",
    "TSDBError",
    "Window",
]

__version__ = "0.1.0"
