"""Our analytics beside those of others, in turns, on one machine, in one run.

    python3 benches/peers/compare.py [profile] [similarity] [--quick]

makes a Python environment in `target/peers` with STUMPY, SCAMP, FAISS, hnswlib and usearch (SCAMP is
built there, which takes minutes; without it the others run), builds what is measured, and prints
Markdown tables.
"""

import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(__file__).resolve().parent
ROOT = PEERS.parent.parent
ENVIRONMENT = ROOT / "target" / "peers"
PYTHON = ENVIRONMENT / "bin" / "python"
RELEASE = ROOT / "target" / "release"
# Points of a series and of a window, threads, and runs of which the quickest counts.
PROFILES = [(4_096, 50, 1, 20), (4_096, 50, 2, 20), (65_536, 100, 1, 3), (65_536, 100, 2, 3), (262_144, 100, 2, 1)]
# Vectors, their dimension and their kind.
VECTORS = [(100_000, 128, "ecg"), (100_000, 128, "gaussian"), (1_000_000, 16, "ecg"), (1_000_000, 128, "ecg")]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def make_environment():
    """The Python packages of all others."""
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", ENVIRONMENT)
    run(PYTHON, "-m", "pip", "install", "--quiet", "-r", PEERS / "requirements.txt")
    if subprocess.run([PYTHON, "-c", "import pyscamp"], stderr=subprocess.DEVNULL).returncode != 0:
        path = f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}"
        scamp = [PYTHON, "-m", "pip", "install", "--quiet", "--no-build-isolation", "pyscamp"]
        if subprocess.run(scamp, env={**os.environ, "PATH": path, "FORCE_NO_CUDA": "1"}).returncode != 0:
            print("SCAMP can't be built here and is left out.", file=sys.stderr)


def series(kind, points):
    """A random walk of two decimals, or the electrocardiogram again and again with a little noise."""
    generator = random.Random(5)
    if kind == "random walk":
        level, values = 0, []
        for _ in range(points):
            level += generator.randint(-100, 100)
            values.append(level / 100)
        return values
    lines = (ROOT / "examples" / "data" / "ecg_mitbih_208.csv").read_text().splitlines()[1:]
    once = [float(line.split(",")[1]) for line in lines]
    noise = [0.0 if at < len(once) else 0.002 * generator.random() for at in range(points)]
    return [once[at % len(once)] + noise[at] for at in range(points)]


def compare_profiles(quick):
    """Billions of pairs of windows a second, everything included, of a series with itself."""
    has_scamp = subprocess.run([PYTHON, "-c", "import pyscamp"], stderr=subprocess.DEVNULL).returncode == 0
    programs = {"TSDB Vector": None, "STUMPY": "stumpy", **({"SCAMP": "scamp"} if has_scamp else {})}
    print("### Matrix profile, billions of pairs of windows a second\n")
    print("| n | data | m | threads |", " | ".join(programs), "| of the best peer |")
    print("| ---: | --- | ---: | ---: |", " | ".join("---:" for _ in programs), "| ---: |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "series.f64"
        for points, window, threads, runs in PROFILES[: 2 if quick else None]:
            for kind in ("random walk", "ECG"):
                values = series(kind, points)
                path.write_bytes(struct.pack(f"<{points}d", *values))
                windows, first = points - window + 1, -(-window // 4) + 1
                cells = (windows - first) * (windows - first + 1) // 2
                rates, distances = {}, []
                for name, library in programs.items():
                    ours = [RELEASE / "examples" / "profile", path, window, "--threads", threads, "--runs", runs]
                    theirs = [PYTHON, PEERS / "matrix_profile.py", library, path, window, threads, runs]
                    answer = run(*(ours if library is None else theirs), capture_output=True, text=True)
                    seconds, _, distance = map(float, answer.stdout.split())
                    rates[name] = cells / seconds / 1e9
                    distances.append(distance)
                if max(distances) - min(distances) > 1e-3 * max(distances):
                    print(f"the greatest discords differ: {distances}", file=sys.stderr)
                peer = max(rate for name, rate in rates.items() if programs[name])
                row = " | ".join(f"{rate:.2f}" for rate in rates.values())
                ratio = rates["TSDB Vector"] / peer
                print(f"| {points:,} | {kind} | {window} | {threads} | {row} | {ratio:.1f} × |", flush=True)


def compare_similarity(quick):
    """Answers a second for the ten most similar vectors."""
    for vectors, dimension, kind in VECTORS[:1] if quick else VECTORS:
        print(f"\n### {vectors:,} × {dimension}, {kind}\n", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            server = subprocess.Popen(
                [RELEASE / "tsdb_server", "--data-dir", Path(scratch) / "data", "--port", "0", "--memory-limit", "8GiB"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "TSDB_METRICS_PORT": "0"},
            )
            try:
                address = server.stdout.readline().removeprefix("listening on ").strip()
                size = ["--windows", vectors, "--dimension", dimension, "--vectors", kind]
                example = [RELEASE / "examples" / "similarity", "--address", address, *size, "--dump", scratch]
                print("Ours, over TCP:\n\n```text", flush=True)
                run(*example)
                print("```", flush=True)
            finally:
                server.terminate()
                server.wait()
            print("\nOthers, in process, one thread:\n\n```text", flush=True)
            run(PYTHON, PEERS / "similarity.py", scratch, dimension)
            print("```", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["profile", "similarity"], help="[default: both]")
    parser.add_argument("--quick", action="store_true", help="only the small ones")
    options = parser.parse_args()
    what = options.what or ["profile", "similarity"]
    make_environment()
    build = ["cargo", "build", "--release", "--bin", "tsdb_server", "--example", "similarity", "--example", "profile"]
    run(*build, cwd=ROOT)
    if "profile" in what:
        compare_profiles(options.quick)
    if "similarity" in what:
        compare_similarity(options.quick)


if __name__ == "__main__":
    main()
