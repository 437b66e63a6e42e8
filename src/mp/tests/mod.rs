//! The profile against the oracle, on friendly and on hostile data.

mod dimensions;
mod motif_sets;
mod neighbors;
mod series;
mod stumpy;

use std::sync::OnceLock;

use super::*;
use crate::base::{Deadline, Dimensions, ErrorCode, Rng};
use crate::kernels::Instructions;

fn walk(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    let mut at = 0.0;
    (0..n)
        .map(|_| {
            at += rng.unit_f64() - 0.5;
            at
        })
        .collect()
}

fn with(mut values: Vec<f64>, change: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    values.iter_mut().enumerate().for_each(|(at, value)| *value = change(at, *value));
    values
}

fn hostile() -> Vec<(&'static str, Vec<f64>)> {
    let mut rng = Rng::new(9);
    let noise: Vec<f64> = (0..600).map(|_| rng.unit_f64()).collect();
    vec![
        ("walk", walk(600, 1)),
        ("dying away", with(noise.clone(), |at, v| v * 0.7_f64.powi(at as i32 % 100))),
        ("sine", with(noise.clone(), |at, v| (at as f64 / 9.0).sin() + 0.1 * v)),
        ("offset 1e9", with(walk(600, 2), |_, v| v + 1e9)),
        ("spike 1e12", with(walk(600, 3), |at, v| if at == 300 { 1e12 } else { v })),
        (
            "a part scaled by 1e-8",
            with(walk(600, 4), |at, v| if (200..400).contains(&at) { v * 1e-8 } else { v }),
        ),
        ("tiny on a ramp", with(noise.clone(), |at, v| 1.7e9 * at as f64 + v)),
        ("flat stretches", with(walk(600, 5), |at, v| if at % 200 < 90 { 7.0 } else { v })),
        ("all flat", vec![3.5; 200]),
        ("huge", with(walk(600, 6), |_, v| v * 1e300)),
        ("minute", with(walk(600, 7), |_, v| v * 1e-300)),
        ("most of it at 1e20", with(walk(600, 8), |at, v| if at < 330 { 1e20 } else { v })),
        ("two levels", with(walk(600, 9), |at, v| 1e-3 * v + if at / 150 % 2 == 0 { 1e9 } else { 0.0 })),
        ("levels", with(walk(600, 10), |at, v| 1e-2 * v + [1e9, 0.0, 3e12, 2e9, -5.0][at / 120])),
        ("a clock that stops", with(walk(600, 11), |at, v| if at < 330 { 1.7e18 + 1e3 * v } else { v })),
        ("huge for a while", with(noise.clone(), |at, v| if (5..9).contains(&at) { 1e30 } else { 20.0 + v })),
        ("growing", with(noise.clone(), |at, v| (at as f64 / 5.0).exp() * (1.0 + 0.1 * v))),
        ("steps", with(noise, |_, v| (v * 3.0).floor())),
    ]
}

fn close(name: &str, found: f64, expected: f64, window: usize) {
    if found.is_infinite() && expected.is_infinite() {
        return; // a window without a neighbour
    }
    let tolerance = 1e-9 * expected.abs().max((window as f64).sqrt());
    assert!((found - expected).abs() <= tolerance, "{name}: {found} instead of {expected}");
}

fn pools() -> &'static [rayon::ThreadPool; 3] {
    static POOLS: OnceLock<[rayon::ThreadPool; 3]> = OnceLock::new();
    POOLS.get_or_init(|| {
        [1, 2, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
    })
}

/// What the computation finds with each of the instructions is what is expected, and the
/// same with any number of threads.
fn check(
    name: &str,
    (a, b): (&Selection<'_>, &Selection<'_>),
    compute: impl Fn() -> Computation,
    may_match: impl Fn(usize, usize) -> bool,
) {
    check_with(name, (a, b), &oracle::nearest(a, b, &may_match), compute, may_match);
}

/// The same, where something else than the nearest neighbours is expected.
fn check_with(
    name: &str,
    (a, b): (&Selection<'_>, &Selection<'_>),
    expected: &Profile,
    compute: impl Fn() -> Computation,
    may_match: impl Fn(usize, usize) -> bool,
) {
    let unit = if a.normalize {
        1.0
    } else {
        // Plain distances are compared in the unit of the data.
        expected.distances.iter().fold(f64::MIN_POSITIVE, |a, &b| if b.is_finite() { a.max(b) } else { a })
    };
    for instructions in Instructions::available() {
        let name = format!("{name}, {}", instructions.name());
        let computation = compute().with(instructions).spread();
        let [found, with_two, with_three] = pools()
            .each_ref()
            .map(|pool| pool.install(|| computation.run(&Deadline::none(), &Progress::default())));
        assert!(found.is_complete() && found.coverage() == 1.0, "{name}");
        assert!(found == with_two && found == with_three, "{name}: it depends on the number of threads");
        let found = found.profile;
        for (at, (&found, &expected)) in found.distances.iter().zip(&expected.distances).enumerate() {
            close(&format!("{name} at {at}"), found / unit, expected / unit, a.window);
        }
        for (at, &neighbor) in found.neighbors.iter().enumerate() {
            if neighbor == usize::MAX {
                assert_eq!(expected.neighbors[at], neighbor, "{name}: {at} has a neighbour");
                continue;
            }
            assert!(may_match(at, neighbor), "{name}: {neighbor} is no neighbour of {at}");
            let distance = oracle::distance_between(a, at, b, neighbor);
            close(&name, distance / unit, expected.distances[at] / unit, a.window);
        }
    }
}

fn check_self_join(name: &str, selection: &Selection<'_>) {
    let compute = || Computation::self_join(selection).unwrap();
    check(name, (selection, selection), compute, |i, j| i.abs_diff(j) > selection.exclusion());
}

#[test]
fn the_profile_is_the_oracles_on_hostile_data() {
    for (name, values) in hostile() {
        for normalize in [true, false] {
            if !normalize && (name == "huge" || name == "minute") {
                continue; // the oracle itself overflows or underflows
            }
            check_self_join(name, &Selection { values: &values, dimension: 1, window: 24, normalize });
        }
    }
}

#[test]
fn it_is_the_oracles_on_random_shapes() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let window = 3 + rng.below(30) as usize;
        let dimension = 1 + rng.below(3) as usize;
        let points = window + window.div_ceil(4) + 1 + rng.below(150) as usize;
        let mut values = walk(points * dimension, seed + 1000);
        if rng.one_in(3) {
            let from = rng.below(values.len() as u64) as usize;
            let to = (from + rng.below(80) as usize).min(values.len());
            values[from..to].fill(0.25);
        }
        let selection = Selection { values: &values, dimension, window, normalize: !rng.one_in(4) };
        check_self_join(&format!("seed {seed}"), &selection);
    }
}

/// A series with constant stretches and values that are not finite.
fn broken(points: usize, dimension: usize, rng: &mut Rng) -> Vec<f64> {
    let mut values = walk(points * dimension, rng.next_u64());
    for fill in [0.25, f64::NAN] {
        if !rng.one_in(3) {
            let from = rng.below(points as u64) as usize;
            let to = (from + 1 + rng.below(30) as usize).min(points);
            values[from * dimension..to * dimension].fill(fill);
        }
    }
    values
}

/// Which windows have finite values alone, and are marked.
fn whole(selection: &Selection<'_>, mask: &[bool]) -> Vec<bool> {
    let finite = |at: usize| {
        let points = at * selection.dimension..(at + selection.window) * selection.dimension;
        selection.values[points].iter().all(|value| value.is_finite())
    };
    (0..selection.windows()).map(|at| mask[at] && finite(at)).collect()
}

#[test]
fn joins_sides_and_gaps_are_the_oracles() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let window = 3 + rng.below(20) as usize;
        let dimension = if rng.one_in(4) { 2 } else { 1 };
        let normalize = !rng.one_in(3);
        let [x, y] = [0, 1].map(|_| broken(window + 10 + rng.below(150) as usize, dimension, &mut rng));
        let [a, b] = [&x, &y].map(|values| Selection { values, dimension, window, normalize });
        let [mask_a, mask_b] =
            [a, b].map(|of| (0..of.windows()).map(|_| !rng.one_in(12)).collect::<Vec<bool>>());
        let (usable_a, usable_b) = (whole(&a, &mask_a), whole(&b, &mask_b));
        let join = || Computation::join(&a, &b).unwrap().only(&mask_a).only_of_other(&mask_b);
        check(&format!("join of seed {seed}"), (&a, &b), join, |i, j| usable_a[i] && usable_b[j]);
        for sides in [Sides::Both, Sides::Left, Sides::Right] {
            let compute = || Computation::self_join(&a).unwrap().only(&mask_a).sides(sides);
            check(&format!("{sides:?} of seed {seed}"), (&a, &a), compute, |i, j| {
                let right_side = match sides {
                    Sides::Both => true,
                    Sides::Left => j < i,
                    Sides::Right => i < j,
                };
                usable_a[i] && usable_a[j] && right_side && i.abs_diff(j) > a.exclusion()
            });
        }
    }
}

/// Squared distances of equal windows come out a little below zero, and those of huge ones
/// overflow; a side that is not looked at keeps nothing either way.
#[test]
fn one_side_of_equals_and_of_what_overflows() {
    let waves: Vec<f64> = (0..60).map(|at| 0.1 * f64::from(at % 7)).collect();
    let huge: Vec<f64> = waves.iter().map(|value| value * 1e180).collect();
    for values in [waves, huge] {
        let selection = Selection { values: &values, dimension: 1, window: 4, normalize: false };
        for instructions in Instructions::available() {
            for sides in [Sides::Left, Sides::Right] {
                let one_side = Computation::self_join(&selection).unwrap().sides(sides).with(instructions);
                assert!(one_side.run(&Deadline::none(), &Progress::default()).is_complete());
            }
            let join = Computation::join(&selection, &selection).unwrap().with(instructions);
            assert!(join.run(&Deadline::none(), &Progress::default()).is_complete());
        }
    }
}

#[test]
fn of_equals_the_first_is_the_neighbour() {
    // A period of 16 points, exactly: every window has many equals, but for rounding.
    let values: Vec<f64> = (0..800).map(|at| f64::from([0_i8, 3, 1, 4, 1, 5, 9, 2][at / 2 % 8])).collect();
    for normalize in [true, false] {
        let selection = Selection { values: &values, dimension: 1, window: 16, normalize };
        for instructions in Instructions::available() {
            let found = Computation::self_join(&selection).unwrap().with(instructions);
            let found = found.run(&Deadline::none(), &Progress::default()).profile;
            for (at, &neighbor) in found.neighbors.iter().enumerate() {
                let first = if at < 16 { at + 16 } else { at % 16 };
                assert_eq!(neighbor, first, "{} of {at}, normalize: {normalize}", instructions.name());
                assert!(found.distances[at] < 1e-9);
            }
        }
    }
}

#[test]
fn what_is_found_in_time_is_told_with_its_coverage() {
    let values = walk(3000, 21);
    let selection = Selection { values: &values, dimension: 1, window: 30, normalize: true };
    let computation = Computation::self_join(&selection).unwrap();
    let exact = computation.run(&Deadline::none(), &Progress::default());
    assert_eq!((exact.cells, exact.cells_total), (computation.cells(), computation.cells()));
    let deadline = Deadline::none();
    deadline.cancel();
    let nothing = computation.run(&deadline, &Progress::default());
    assert!(nothing.cells == 0 && nothing.coverage() == 0.0 && !nothing.is_complete());
    assert!(nothing.profile.neighbors.iter().all(|&neighbor| neighbor == usize::MAX));
    // Cancelled as soon as some of it is done; it may be through all the same.
    let (deadline, progress) = (Deadline::none(), Progress::default());
    let partial = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.cells() == 0 {
                std::thread::yield_now();
            }
            deadline.cancel();
        });
        computation.run(&deadline, &progress)
    });
    assert!(partial.cells > 0 && partial.cells <= partial.cells_total);
    for (at, &neighbor) in partial.profile.neighbors.iter().enumerate() {
        let found = partial.profile.distances[at];
        assert!(found >= exact.profile.distances[at], "nearer than the nearest");
        if neighbor != usize::MAX {
            close("partial", found, oracle::distance(&selection, at, neighbor), 30);
        }
    }
}

#[test]
fn a_sample_is_the_same_each_time_and_nothing_is_nearer_than_it_is() {
    let values = walk(3000, 22);
    let selection = Selection { values: &values, dimension: 1, window: 30, normalize: true };
    let whole = || Computation::self_join(&selection).unwrap();
    let exact = whole().run(&Deadline::none(), &Progress::default());
    let sample = whole().sample(0.25).run(&Deadline::none(), &Progress::default());
    assert!((0.1..0.5).contains(&sample.coverage()), "{}", sample.coverage());
    assert_eq!(sample, whole().sample(0.25).spread().run(&Deadline::none(), &Progress::default()));
    assert!(sample.profile.distances.iter().zip(&exact.profile.distances).all(|(some, all)| some >= all));
    assert_eq!(whole().sample(1.0).run(&Deadline::none(), &Progress::default()), exact);
}

#[test]
fn a_long_series_crosses_tiles_and_bands() {
    let values = with(walk(2600, 11), |at, v| if at == 1500 { 1e6 } else { v });
    let selection = Selection { values: &values, dimension: 1, window: 16, normalize: true };
    let found = profile(&selection, &Deadline::none()).unwrap();
    let mut rng = Rng::new(1);
    for _ in 0..60 {
        let at = rng.below(selection.windows() as u64) as usize;
        let expected = (0..selection.windows())
            .filter(|other| other.abs_diff(at) > selection.exclusion())
            .map(|other| oracle::distance(&selection, at, other))
            .fold(f64::INFINITY, f64::min);
        close("long", found.distances[at], expected, 16);
    }
}

#[test]
fn discords_and_motifs_are_the_oracles() {
    for (name, values) in hostile() {
        if name == "steps" || name == "all flat" {
            continue; // ties of distances that are equal but for rounding; see below
        }
        let selection = Selection { values: &values, dimension: 1, window: 20, normalize: true };
        let expected = oracle::discords(&selection, 5);
        let found = discords(&selection, 5, &Deadline::none()).unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            close(name, found.score, expected.score, 20);
        }
        let expected = oracle::motifs(&selection, 5);
        let found = motifs(&selection, 5, &Deadline::none()).unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            close(name, found.distance, expected.distance, 20);
            assert!(found.a < found.b);
        }
    }
}

/// Most windows have many nearest neighbours, of which some are taken by the motifs before.
#[test]
fn motifs_of_what_repeats_are_as_near_as_any() {
    let pulses = (0..700).map(|at| if at % 26 < 13 { 1.0 } else { 0.0 }).collect();
    let days = (0..700).map(|at| f64::from((at * at % 61) as u8)).collect();
    let two: Vec<f64> =
        (0..700).map(|at| [0.0, 3.0, 1.0, 4.0][at % 4] + if at < 400 { 0.0 } else { at as f64 }).collect();
    for (name, values) in [("pulses", pulses), ("days", days), ("two", two), ("walk", walk(700, 12))] {
        let values: Vec<f64> = values;
        let selection = Selection { values: &values, dimension: 1, window: 24, normalize: true };
        let expected = oracle::motifs(&selection, 12);
        let found = motifs(&selection, 12, &Deadline::none()).unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            close(name, found.distance, expected.distance, 24);
        }
    }
}

#[test]
fn events_do_not_overlap_and_flat_windows_are_no_motif() {
    let values = with(walk(600, 5), |at, v| if at % 200 < 90 { 7.0 } else { v });
    let selection = Selection { values: &values, dimension: 1, window: 20, normalize: true };
    let found = discords(&selection, 100, &Deadline::none()).unwrap();
    for (at, discord) in found.iter().enumerate() {
        assert!(found[..at].iter().all(|other| other.index.abs_diff(discord.index) >= 20));
    }
    let found = motifs(&selection, 100, &Deadline::none()).unwrap();
    assert!(!found.is_empty());
    for (at, motif) in found.iter().enumerate() {
        for index in [motif.a, motif.b] {
            assert!(values[index..index + 20].iter().any(|v| *v != values[index]), "a flat window");
            assert!(found[..at].iter().all(|o| o.a.abs_diff(index) >= 20 && o.b.abs_diff(index) >= 20));
        }
    }
    let flat = Selection { values: &[1.0; 50], ..selection };
    assert_eq!(motifs(&flat, 3, &Deadline::none()).unwrap(), []);
    assert_eq!(discords(&flat, 1, &Deadline::none()).unwrap()[0].score, 0.0);
}

#[test]
fn what_can_not_be_answered_is_refused() {
    let values = walk(12, 1);
    let code = |window, k| {
        let selection = Selection { values: &values, dimension: 1, window, normalize: true };
        discords(&selection, k, &Deadline::none()).map_err(|e| e.code())
    };
    assert_eq!(code(2, 1), Err(ErrorCode::InvalidArgument));
    assert_eq!(code(8, 0), Err(ErrorCode::InvalidArgument));
    assert_eq!(code(9, 1), Err(ErrorCode::NotEnoughData), "9 + 3 + 1 points are needed");
    assert_eq!(code(usize::MAX, 1), Err(ErrorCode::NotEnoughData));
    assert!(code(8, 1).is_ok(), "8 + 2 + 1 points are there");
    let deadline = Deadline::none();
    deadline.cancel();
    let selection = Selection { values: &values, dimension: 1, window: 4, normalize: true };
    assert_eq!(profile(&selection, &deadline).unwrap_err().code(), ErrorCode::Timeout);
}

#[test]
fn motifs_between_two_series_are_the_oracles() {
    for seed in 0..20 {
        let (x, y) = (walk(120, seed), walk(90, seed + 100));
        let [a, b] = [&x, &y].map(|values| Selection { values, dimension: 1, window: 12, normalize: true });
        let computation = Computation::join(&a, &b).unwrap().without_flat();
        let outcome = computation.run(&Deadline::none(), &Progress::default());
        let (found, exact) = motifs_of(&computation, &outcome.profile, 4, None, &Deadline::none());
        assert!(exact);
        let mut pairs: Vec<Motif> = (0..a.windows())
            .flat_map(|i| (0..b.windows()).map(move |j| (i, j)))
            .map(|(i, j)| (i, j, oracle::distance_between(&a, i, &b, j)))
            .map(|(a, b, distance)| Motif { a, b, distance, radius: None, occurrences: Vec::new() })
            .collect();
        pairs.sort_by(|x, y| x.distance.total_cmp(&y.distance));
        for motif in found {
            close("join", motif.distance, pairs[0].distance, 12);
            assert_eq!((motif.a, motif.b), (pairs[0].a, pairs[0].b), "seed {seed}");
            pairs.retain(|pair| pair.a.abs_diff(motif.a) >= 12 && pair.b.abs_diff(motif.b) >= 12);
        }
    }
}
