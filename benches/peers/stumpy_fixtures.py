"""What STUMPY finds, to be compared with what is found here (src/mp/tests/stumpy.rs).

    python3 benches/peers/compare.py profile --quick  # makes the environment
    target/peers/bin/python benches/peers/stumpy_fixtures.py > tests/stumpy/analyses.json

The series are in the file, so that nobody needs STUMPY or NumPy to run the tests.
"""

import json
import math
import random
import sys
import warnings

import numpy
import stumpy

warnings.filterwarnings("ignore")
generator = random.Random(7)


def noise(points, scale):
    return [scale * generator.uniform(-1, 1) for _ in range(points)]


def walk(points):
    level, values = 0, []
    for _ in range(points):
        level += generator.randint(-100, 100)
        values.append(level / 100)
    return values


def beats(points, period, change):
    """A beat that becomes another one after `change` points."""
    first = [math.sin(2 * math.pi * at / period) for at in range(points)]
    second = [abs(2 * ((at / period) % 1) - 1) ** 3 for at in range(points)]
    mixed = [first[at] if at < change else second[at] for at in range(points)]
    return [round(value + extra, 6) for value, extra in zip(mixed, noise(points, 0.15))]


def drift(points, period):
    """A shape that changes a little with each period, between noise: a chain."""
    values = noise(points, 0.4)
    for beat, start in enumerate(range(5, points - period, 2 * period)):
        for at in range(period):
            values[start + at] += 3 * math.exp(-((at - period / 2 - 0.35 * beat) ** 2) / 6)
    return [round(value, 6) for value in values]


def plain(value):
    """Lists and numbers as JSON has them; what is not finite is null."""
    if isinstance(value, numpy.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (int, numpy.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


def array(values):
    return numpy.array(values, dtype=float)


def main():
    m = 16
    one, other = beats(320, 24, 170), beats(150, 24, 60)
    profile = stumpy.stump(array(one), m)
    found = {"stumpy": stumpy.__version__, "window": m, "series": one, "other": other}

    # The nearest windows of one, each outside of the others' exclusion zones.
    query = 40
    match = stumpy.match(
        array(one[query : query + m]), array(one), max_distance=math.inf, max_matches=6, query_idx=query
    )
    found["match"] = {"query": query, "distances": plain(match[:, 0]), "indices": plain(match[:, 1])}
    radius = 1.5
    within = stumpy.match(
        array(one[query : query + m]), array(one), max_distance=radius, query_idx=query
    )
    found["within"] = {"radius": radius, "distances": plain(within[:, 0]), "indices": plain(within[:, 1])}

    # Multidimensional profiles: of the k best dimensions, and of the worst.
    many = [walk(160), walk(160), beats(160, 20, 80)]
    profiles, indices = stumpy.mstump(array(many), 12)
    worst, worst_indices = stumpy.mstump(array(many), 12, discords=True)
    found["mstump"] = {
        "window": 12,
        "series": many,
        "profiles": plain(profiles),
        "indices": plain(indices),
        "worst": plain(worst[0]),
        "worst_indices": plain(worst_indices[0]),
    }

    # Segmentation, with the parabola of the paper as the idealised arc curve.
    windows = len(one) - m + 1
    parabola = array([2 * at * (windows - at) / windows for at in range(windows)])
    curve, changes = stumpy.fluss(profile[:, 1], L=m, n_regimes=2, custom_iac=parabola)
    found["fluss"] = {"curve": plain(curve), "changes": plain(changes)}

    # Chains, from the left and right profiles.
    chained = drift(300, 20)
    of_chain = stumpy.stump(array(chained), m)
    every, longest = stumpy.allc(of_chain[:, 2], of_chain[:, 3])
    found["chains"] = {
        "series": chained,
        "all": sorted(plain(chain) for chain in every if len(chain) > 1),
        "longest": plain(longest),
    }

    found["mpdist"] = [
        {"window": window, "percentage": share, "distance": plain(stumpy.mpdist(array(one), array(other), window, percentage=share))}
        for window in (8, 16, 30)
        for share in (0.05, 0.5)
    ]

    found["snippets"] = []
    for length, part in ((40, 20), (32, 16)):
        _, indices, profiles, fractions, areas, _ = stumpy.snippets(array(one), length, 3, s=part)
        found["snippets"].append(
            {
                "window": length,
                "part": part,
                "indices": plain(indices),
                "fractions": plain(fractions),
                "areas": plain(areas),
                "profile": plain(profiles[0]),
            }
        )
    json.dump(found, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
