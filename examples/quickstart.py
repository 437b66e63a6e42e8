"""Finds the six most unusual weeks of a year of electricity demand.

Start a server, then: PYTHONPATH=clients/python python3 examples/quickstart.py [port]
"""

import csv
import datetime
import pathlib
import sys

from tsdb_client import TSDBClient

UTC = datetime.timezone.utc
FILE = pathlib.Path(__file__).parent / "data" / "electricity_victoria_2014.csv"


def read(path):
    """Times in nanoseconds, and demand in gigawatts."""
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            time = datetime.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
            yield int(time.timestamp()) * 10**9, float(row["demand_gw"])


def main():
    """Imports, asks, prints."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 6380
    times, values = zip(*read(FILE))
    with TSDBClient(port=port) as client:
        client.create_series("demand_from_python", 1, if_not_exists=True)
        client.batch_insert("demand_from_python", timestamps_ns=times, values=values)
        for anomaly in client.find_anomalies("demand_from_python", window=336, k=6):
            first = datetime.datetime.fromtimestamp(anomaly.timestamp_ns / 1e9, UTC)
            print(f"week from {first:%A, %d %B %Y, %H:%M}: {anomaly.score:.2f} from the week most like it")


if __name__ == "__main__":
    main()
