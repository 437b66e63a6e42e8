"""Runs the machines that try to break the database, and prints what they tried, in one table.

    python3 tests/reliability.py [--soak] [--mutations] [--without-fuzzing]

The ordinary run stays below 20 minutes on two cores once the fuzz targets are built. --soak is the same code with more seeds,
and takes hours. --mutations also takes out one safeguard after the other (see tests/mutations.py), which alone takes
more than the rest. Exits with 1 where something failed; what it printed is then shown.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What is tried, which test binary and test does so, the figure in its output, the setting of a soak.
TESTS = [
    ("crash states", "--lib", "crash::nothing_acknowledged_is_lost_by_a_crash", r"crash states: (\d+)", {"TSDB_TEST_CRASH_SEEDS": "200"}),
    ("crash states of crashed recoveries", None, None, r"and (\d+) of crashed recoveries", {}),
    ("crash states after a kill", "--lib", "crash::what_is_served_after_a_kill_is_there_after_a_crash", r"after a kill: (\d+)", {"TSDB_TEST_CRASH_SEEDS": "200"}),
    ("crash states with relaxed durability", "--lib", "crash::a_crash_with_relaxed_durability_leaves_what_came_first", r"relaxed durability: (\d+)", {}),
    ("crash states while damage is set aside", "--lib", "damage::a_crash_while_damage_is_set_aside_forgets_nothing", r"set aside: (\d+)", {}),
    ("fault points", "--lib", "fault::what_fails_is_said_and_what_is_said_is_so", r"points of failure: (\d+)", {}),
    ("disks that filled up", "--lib", "fault::a_disk_may_be_full_after_any_byte", r"that filled up: (\d+)", {"TSDB_TEST_DISK_SIZES": "2000"}),
    ("fault points under threads", "--lib", "concurrency::a_disk_that_fails_at_any_operation_under_threads_loses_nothing", r"under threads: (\d+)", {}),
    ("panics", "--lib", "panics::a_panic_in_any_thread_stops_acknowledgements_and_says_why", r"panics: (\d+)", {}),
    ("damaged files", "--lib", "damage::no_damage_changes_an_answer", r"damaged files: (\d+)", {"TSDB_TEST_ALL_BITS": "1"}),
    ("files exchanged", "--lib", "damage::files_in_the_place_of_others_are_found", r"files swapped: (\d+)", {}),
    ("operations against the model", "--lib", "model::it_agrees_with_an_ordered_map", r"against the model: (\d+)", {"TSDB_TEST_MODEL_SEEDS": "2000"}),
    ("kills", "scenarios", "kill::nothing_acknowledged_is_lost", r"kills: (\d+)", {"TSDB_TEST_KILLS": "5000"}),
]
# What an ordinary run tries more of than `cargo test`.
ORDINARY = {"TSDB_TEST_KILLS": "200"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soak", action="store_true", help="more seeds of the same; hours")
    parser.add_argument("--mutations", action="store_true", help="also remove one safeguard after the other")
    parser.add_argument("--without-fuzzing", action="store_true", help="where there is no nightly compiler")
    options = parser.parse_args()
    began = time.monotonic()
    build = run(["cargo", "test", "--locked", "--lib", "--test", "scenarios", "--no-run"], {})
    if build is None:
        sys.exit(1)
    print("| tried | figure | seconds |\n| --- | ---: | ---: |", flush=True)
    failed, output, seconds = [], "", 0.0
    for what, binary, test, figure, soak in TESTS:
        if test is not None:
            target = ["--lib"] if binary == "--lib" else ["--test", binary]
            prefix = "engine::tests::" if binary == "--lib" else ""
            settings = {**ORDINARY, **(soak if options.soak else {})}
            command = ["cargo", "test", "--locked", *target, "--", "--exact", "--nocapture", prefix + test]
            started = time.monotonic()
            output = run(command, settings)
            seconds = time.monotonic() - started
        row(what, output, figure, seconds, failed)
        seconds = 0.0
    fuzz = ROOT / "fuzz" / "run"
    if fuzz.exists() and not options.without_fuzzing:
        # Seconds a target.
        started = time.monotonic()
        output = run([str(fuzz), "600" if options.soak else "20"], {})
        row("fuzz executions", output, r"^fuzz executions: (\d+)", time.monotonic() - started, failed)
    if options.mutations:
        started = time.monotonic()
        output = run([sys.executable, str(ROOT / "tests" / "mutations.py")], {})
        row("safeguards removed, each caught by a test", output, r"^mutations: (\d+)", time.monotonic() - started, failed)
    print(f"| all | | {time.monotonic() - began:.0f} |")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def row(what, output, figure, seconds, failed):
    """Prints one line of the table; the last figure in the output counts."""
    found = re.findall(figure, output, re.MULTILINE) if output is not None else []
    if not found:
        failed.append(what)
    shown = f"{int(found[-1]):,}" if found else "**failed**"
    print(f"| {what} | {shown} | {f'{seconds:.0f}' if seconds else ''} |", flush=True)


def run(command, settings):
    """What the command prints, or None where it fails, which is then shown."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        print(f"{' '.join(command)}:\n{done.stdout[-5000:]}", file=sys.stderr)
        return None
    return done.stdout


if __name__ == "__main__":
    main()
