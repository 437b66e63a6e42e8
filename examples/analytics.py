"""Analyses of a year of electricity demand, with NumPy arrays in and out where NumPy is there.

Start a server, then: PYTHONPATH=clients/python python3 examples/analytics.py [port]
"""

import csv
import datetime
import pathlib
import sys

from tsdb_client import TSDBClient

try:
    import numpy
except ImportError:
    numpy = None

UTC = datetime.timezone.utc
FILE = pathlib.Path(__file__).parent / "data" / "electricity_victoria_2014.csv"
#: Half hours a day.
DAY = 48


def read(path):
    """Times in nanoseconds, and rows of demand in gigawatts and temperature in degrees."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    times = [datetime.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC) for row in rows]
    times = [int(time.timestamp()) * 10**9 for time in times]
    values = [[float(row["demand_gw"]), float(row["temperature_c"])] for row in rows]
    if numpy is None:
        return times, values
    return numpy.array(times), numpy.array(values)


def day(timestamp_ns):
    """A date for people."""
    return f"{datetime.datetime.fromtimestamp(timestamp_ns / 1e9, UTC):%A, %d %B %Y, %H:%M}"


def main():
    """Imports, asks, prints."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 6380
    times, values = read(FILE)
    with TSDBClient(port=port) as client:
        client.create_series("victoria", 2, if_not_exists=True)
        client.batch_insert("victoria", timestamps_ns=times, values=values)

        print("weeks that are unusual in demand or in temperature:")
        for anomaly in client.find_anomalies("victoria", 7 * DAY, 3, dimensions="any"):
            cause = ["demand", "temperature"][anomaly.dimensions[0].dimension]
            print(f"  from {day(anomaly.timestamp_ns)}: {anomaly.score:.2f}, because of the {cause}")

        print("the day that comes again most nearly, in both together:")
        motif = client.find_motifs("victoria", DAY, 1, occurrences=True)[0]
        print(f"  from {day(motif.a.timestamp_ns)}, and {len(motif.occurrences) - 1} times like it")

        print("days that stand for the year:")
        for snippet in client.find_snippets("victoria", 24, 2, step="1h"):
            print(f"  from {day(snippet.timestamp_ns)}: {100 * snippet.fraction:.0f} %")

        changes = client.find_changes("victoria", DAY, 2, curve=True)
        print("changes of regime:")
        for change in changes:
            print(f"  from {day(change.timestamp_ns)}: {change.score:.2f}")
        curve = changes.summary["curves"][0]["values"]
        if numpy is not None:
            curve = numpy.array(curve)
            print(f"  the arc curve is {curve.mean():.2f} on average, {curve.min():.2f} at its lowest")
        else:
            print(f"  the arc curve is {sum(curve) / len(curve):.2f} on average, {min(curve):.2f} at its lowest")


if __name__ == "__main__":
    main()
