//! Every path against the portable twin with fused multiply-add: the same bits; and the
//! twin without against the definition.

use super::*;
use crate::base::Rng;

/// Columns of a series for tests; the windows have 20 points.
struct Series {
    values: Vec<f64>,
    columns: [Vec<f64>; 5],
    thresholds: Vec<Cell<f64>>,
}

const LENGTH: usize = 20;

fn series(n: usize, measure: Measure, seed: u64) -> Series {
    let mut rng = Rng::new(seed);
    let mut at = 0.0;
    let values: Vec<f64> = (0..n + LENGTH - 1)
        .map(|_| {
            at += rng.unit_f64() - 0.5;
            at
        })
        .collect();
    let exact: Vec<f64> = values.windows(LENGTH).map(|w| w.iter().sum::<f64>() / LENGTH as f64).collect();
    // As if they had been rounded to few digits.
    let means: Vec<f64> = exact.iter().map(|mean| (mean * 64.0).round() / 64.0).collect();
    let rests = exact.iter().zip(&means).map(|(exact, mean)| exact - mean).collect();
    let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
    for i in 1..n {
        let (into, out) = (values[i + LENGTH - 1], values[i - 1]);
        (first[i], second[i]) = match measure {
            Measure::Covariance => ((into - out) / 2.0, (into - exact[i]) + (out - exact[i - 1])),
            Measure::SquaredDistance => (into, out),
        };
    }
    let weights: Vec<f64> = (0..n).map(|_| if rng.one_in(10) { 0.0 } else { 0.5 + rng.unit_f64() }).collect();
    let thresholds = (0..n)
        .map(|_| match measure {
            _ if rng.one_in(300) => {
                Cell::new(if measure == Measure::Covariance { f64::NEG_INFINITY } else { 1e9 })
            }
            Measure::Covariance => Cell::new(if rng.one_in(9) { f64::INFINITY } else { rng.unit_f64() }),
            Measure::SquaredDistance => Cell::new(100.0 * rng.unit_f64()),
        })
        .collect();
    Series { values, columns: [first, second, weights, means, rests], thresholds }
}

impl Series {
    fn side(&self) -> Side<'_> {
        let [first, second, weights, ..] = &self.columns;
        Side { first, second, weights, thresholds: &self.thresholds }
    }

    fn windows(&self) -> Windows<'_> {
        Windows { values: &self.values, means: &self.columns[3], rests: &self.columns[4], length: LENGTH }
    }
}

type Hits = Vec<(Place, usize, u64, bool)>;

fn add(found: &mut Hits, hit: &Hit<'_>) {
    for cell in 0..DIAGONALS {
        for (bits, of_row) in [(hit.rows, true), (hit.columns, false)] {
            if bits >> cell & 1 == 1 {
                found.push((hit.place, cell, hit.state[cell].to_bits(), of_row));
            }
        }
    }
}

fn sorted(mut hits: Hits) -> Hits {
    hits.sort_by_key(|(place, cell, _, of_row)| (place.row, *cell, *of_row));
    hits
}

fn run(instructions: Instructions, measure: Measure, a: &Series, b: &Series, place: Place) -> (State, Hits) {
    let mut state = start(instructions, measure, a.windows(), b.windows(), place);
    let mut hits = Vec::new();
    // In two parts, as between restarts.
    for (from, steps) in [(0, 150), (150, 61)] {
        let place = Place { row: place.row + from, column: place.column + from };
        walk(instructions, measure, a.side(), b.side(), place, steps, &mut state, &mut |hit| {
            add(&mut hits, hit);
        });
    }
    (state, sorted(hits))
}

fn twin(measure: Measure, a: &Series, b: &Series, place: Place) -> (State, Hits) {
    let mut hits = Vec::new();
    let on_hit = &mut |hit: &Hit<'_>| add(&mut hits, hit);
    let state = if measure == Measure::Covariance {
        let mut state = portable::start::<true, false>(a.windows(), b.windows(), place);
        portable::walk::<true, false>(a.side(), b.side(), place, 211, &mut state, on_hit);
        state
    } else {
        let mut state = portable::start::<true, true>(a.windows(), b.windows(), place);
        portable::walk::<true, true>(a.side(), b.side(), place, 211, &mut state, on_hit);
        state
    };
    (state, sorted(hits))
}

#[test]
fn all_paths_see_what_the_twin_sees() {
    for measure in [Measure::Covariance, Measure::SquaredDistance] {
        for seed in 0..6 {
            let (a, b) = (series(300, measure, seed), series(340, measure, seed + 100));
            let place = Place { row: seed as usize, column: 100 - 13 * seed as usize };
            let (state, hits) = twin(measure, &a, &b, place);
            assert!(hits.len() > 100 && hits.len() < 20_000, "{} hits show nothing", hits.len());
            for instructions in Instructions::available() {
                let (found, found_hits) = run(instructions, measure, &a, &b, place);
                let name = instructions.name();
                if instructions == Instructions::PORTABLE {
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-11;
                    assert!(found.iter().zip(&state).all(near), "{measure:?} seed {seed}: {name}");
                    assert!(found_hits.len().abs_diff(hits.len()) < 3, "{measure:?} seed {seed}: {name}");
                } else {
                    assert_eq!(
                        found.map(f64::to_bits),
                        state.map(f64::to_bits),
                        "{measure:?} seed {seed}: {name}"
                    );
                    assert_eq!(found_hits, hits, "{measure:?} seed {seed}: {name}");
                }
            }
        }
    }
}

#[test]
fn the_states_are_the_definitions() {
    for measure in [Measure::Covariance, Measure::SquaredDistance] {
        let (a, b) = (series(300, measure, 7), series(300, measure, 8));
        let (state, _) = twin(measure, &a, &b, Place { row: 1, column: 2 });
        let mean = |of: &Series, window: usize| of.columns[3][window] + of.columns[4][window];
        for (cell, state) in state.iter().enumerate() {
            let (i, j) = (1 + 211 + cell / LANES * LANES, 2 + 211 + cell % LANES);
            let terms = (0..LENGTH).map(|at| {
                let (x, y) = (a.values[i + at], b.values[j + at]);
                match measure {
                    Measure::Covariance => (x - mean(&a, i)) * (y - mean(&b, j)),
                    Measure::SquaredDistance => (x - y) * (x - y),
                }
            });
            let expected: f64 = terms.sum();
            assert!((state - expected).abs() < 1e-11, "{measure:?} cell {cell}: {state}, not {expected}");
        }
    }
}

#[test]
fn a_raised_threshold_counts_from_the_next_step_on() {
    for instructions in Instructions::available() {
        let a = series(300, Measure::Covariance, 3);
        let open = |n: usize| (0..n).map(|_| Cell::new(f64::NEG_INFINITY)).collect::<Vec<_>>();
        let thresholds = open(300);
        let side = Side { thresholds: &thresholds, ..a.side() };
        let place = Place { row: 0, column: 60 };
        let mut state = start(instructions, Measure::Covariance, a.windows(), a.windows(), place);
        let mut steps = Vec::new();
        walk(instructions, Measure::Covariance, side, side, place, 100, &mut state, &mut |hit| {
            steps.push(hit.place.row);
            for threshold in &thresholds {
                threshold.set(f64::INFINITY);
            }
        });
        // AVX2 walks down twice, for four lanes each; but all is raised after the first hit.
        assert_eq!(steps, [0], "{}", instructions.name());
    }
}

#[test]
#[should_panic(expected = "window 300 is not there")]
fn a_tile_that_leaves_the_series_is_refused() {
    let a = series(300, Measure::Covariance, 3);
    let place = Place { row: 0, column: 0 };
    let steps = 300 - SKEW;
    walk(
        Instructions::best(),
        Measure::Covariance,
        a.side(),
        a.side(),
        place,
        steps,
        &mut [0.0; DIAGONALS],
        &mut |_| {},
    );
}
