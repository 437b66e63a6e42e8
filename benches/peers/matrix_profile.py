"""A matrix profile by STUMPY or SCAMP: `matrix_profile.py stumpy|scamp <series.f64> <window> <threads> <runs>`.

Prints, as `examples/profile.rs` does, the seconds of the quickest run, and the window that is least
like all others with its distance.
"""

import os
import sys
import time

library, path, window, threads, runs = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
os.environ["NUMBA_NUM_THREADS"] = str(threads)

import numpy  # noqa: E402  (the number of threads must be set first)

series = numpy.fromfile(path, dtype="<f8")

if library == "stumpy":
    import stumpy

    stumpy.stump(series[:500], window)  # compiles

    def compute():
        return stumpy.stump(series, window)[:, 0].astype(float)

else:
    import pyscamp

    def compute():
        profile, _ = pyscamp.selfjoin(series, window, threads=threads, gpus=[])
        return profile


best = float("inf")
for _ in range(runs):
    started = time.perf_counter()
    profile = compute()
    best = min(best, time.perf_counter() - started)
at = int(numpy.argmax(numpy.where(numpy.isfinite(profile), profile, -1)))
print(f"{best:.6f} {at} {profile[at]:.9f}")
