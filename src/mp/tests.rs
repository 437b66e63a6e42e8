//! The profile against the oracle, on friendly and on hostile data.

use super::*;
use crate::base::{Deadline, ErrorCode, Rng};

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

fn check(name: &str, selection: &Selection<'_>) {
    let expected = oracle::profile(selection);
    let found = profile(selection, &Deadline::none()).unwrap();
    let unit = if selection.normalize {
        1.0
    } else {
        // Plain distances are compared in the unit of the data.
        expected.distances.iter().fold(f64::MIN_POSITIVE, |a, &b| if b.is_finite() { a.max(b) } else { a })
    };
    for (at, (found, expected)) in found.distances.iter().zip(&expected.distances).enumerate() {
        close(&format!("{name} at {at}"), found / unit, expected / unit, selection.window);
    }
    for (at, &neighbor) in found.neighbors.iter().enumerate().filter(|(_, neighbor)| **neighbor != usize::MAX)
    {
        assert!(neighbor.abs_diff(at) > selection.exclusion(), "{name}: a neighbour of {at} within its zone");
        close(
            name,
            oracle::distance(selection, at, neighbor) / unit,
            expected.distances[at] / unit,
            selection.window,
        );
    }
}

#[test]
fn the_profile_is_the_oracles_on_hostile_data() {
    for (name, values) in hostile() {
        for normalize in [true, false] {
            if !normalize && (name == "huge" || name == "minute") {
                continue; // the oracle itself overflows or underflows
            }
            check(name, &Selection { values: &values, dimension: 1, window: 24, normalize });
        }
    }
}

#[test]
fn it_is_the_oracles_on_random_shapes() {
    for seed in 0..150 {
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
        check(
            &format!("seed {seed}"),
            &Selection { values: &values, dimension, window, normalize: !rng.one_in(4) },
        );
    }
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
fn the_number_of_threads_does_not_matter() {
    for (name, values) in hostile() {
        let selection = Selection { values: &values, dimension: 1, window: 20, normalize: true };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let motifs = motifs(&selection, 4, &Deadline::none()).unwrap();
                (profile(&selection, &Deadline::none()).unwrap(), motifs)
            })
        };
        assert!(run(1) == run(2) && run(1) == run(5), "{name}");
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
