"""STUMPY's speed on this machine, to stand beside `cargo bench --bench compute -- profile`.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install stumpy
    /tmp/peers/bin/python benches/peers/stumpy_profile.py

Prints billions of pairs of windows a second: by the wall clock, the best of three runs, and
by the processor time of all of them.
"""

import os
import random
import sys
import time

threads = sys.argv[1] if len(sys.argv) > 1 else "1"
os.environ["NUMBA_NUM_THREADS"] = threads

import numpy  # noqa: E402  (the number of threads must be set first)
import stumpy  # noqa: E402

generator = random.Random(5)


def walk(points):
    level, values = 0, []
    for _ in range(points):
        level += generator.randint(-100, 100)
        values.append(level / 100)
    return numpy.array(values)


stumpy.stump(walk(500), 50)  # compiles
for points in [1_000, 4_096, 65_536]:
    series = walk(points)
    for window in [50, 200]:
        first = -(-window // 4) + 1
        windows = points - window + 1
        cells = (windows - first) * (windows - first + 1) // 2
        best, cpu = float("inf"), time.process_time()
        for _ in range(3):
            started = time.perf_counter()
            stumpy.stump(series, window)
            best = min(best, time.perf_counter() - started)
        cpu = (time.process_time() - cpu) / 3
        print(
            f"STUMPY {stumpy.__version__}, {threads} thread(s), n = {points}, m = {window}: "
            f"wall {cells / best / 1e9:.3f}, CPU {cells / cpu / 1e9:.3f}"
        )
