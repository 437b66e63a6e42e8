//! Distances of the best dimensions, and of the worst.

use super::*;

/// As `check_with` does, where the distance is another one than the mean.
fn check_dimensions(name: &str, selection: &Selection<'_>, counted: Dimensions, k: usize) {
    let usable = whole(selection, &vec![true; selection.windows()]);
    let may_match = |i: usize, j: usize| usable[i] && usable[j] && i.abs_diff(j) > selection.exclusion();
    let expected = oracle::kth_nearest(selection, selection, k, counted, may_match);
    for instructions in Instructions::available() {
        let computation = Computation::self_join(selection).unwrap().dimensions(counted).unwrap();
        let computation = computation.neighbor(k).with(instructions).spread();
        let [found, others @ ..] = pools()
            .each_ref()
            .map(|pool| pool.install(|| computation.run(&Deadline::none(), &Progress::default()).profile));
        assert!(others.iter().all(|other| *other == found), "{name}: it depends on the number of threads");
        for (at, (&distance, &neighbor)) in found.distances.iter().zip(&found.neighbors).enumerate() {
            close(&format!("{name} at {at}"), distance, expected.distances[at], selection.window);
            assert_eq!(neighbor == usize::MAX, expected.neighbors[at] == usize::MAX);
            if neighbor != usize::MAX {
                let by_dimension = oracle::distances_by_dimension(selection, at, selection, neighbor);
                for (found, expected) in
                    computation.distances_by_dimension(at, neighbor).iter().zip(&by_dimension)
                {
                    close(name, *found, *expected, selection.window);
                }
                close(name, distance, oracle::of_dimensions(by_dimension, counted), selection.window);
            }
        }
    }
}

#[test]
fn they_are_the_oracles() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let window = 3 + rng.below(20) as usize;
        let dimension = 2 + rng.below(4) as usize;
        let points = window + 20 + rng.below(100) as usize;
        let mut values = broken(points, dimension, &mut rng);
        // One dimension is constant for a while.
        for at in 0..points / 2 {
            values[at * dimension + 1] = if values[at * dimension].is_finite() { 0.5 } else { f64::NAN };
        }
        let selection = Selection { values: &values, dimension, window, normalize: !rng.one_in(4) };
        let best = Dimensions::Best(1 + rng.below(dimension as u64) as usize);
        for counted in [best, Dimensions::Any] {
            check_dimensions(&format!("{counted:?} of {dimension}, seed {seed}"), &selection, counted, 1);
        }
        check_dimensions(&format!("second neighbour, seed {seed}"), &selection, best, 2);
    }
}

#[test]
fn offsets_spikes_and_scales_lose_no_digits() {
    let hostile = hostile();
    let of = |name: &str| hostile.iter().find(|(other, _)| *other == name).unwrap().1.clone();
    let [x, y, z] = ["offset 1e9", "spike 1e12", "tiny on a ramp"].map(of);
    let values: Vec<f64> = (0..300).flat_map(|at| [x[at], y[at], z[at]]).collect();
    let selection = Selection { values: &values, dimension: 3, window: 24, normalize: true };
    for counted in [Dimensions::Best(1), Dimensions::Best(2), Dimensions::Any] {
        check_dimensions(&format!("{counted:?}"), &selection, counted, 1);
    }
}

#[test]
fn dimensions_that_do_not_belong_hide_no_motif_and_one_is_enough_for_an_anomaly() {
    let noise = |seed| walk(500, seed);
    let (mut a, mut b, c) = (noise(1), noise(2), noise(3));
    for at in 0..20 {
        let shape = (at as f64 / 2.0).sin() * at as f64;
        (a[50 + at], b[50 + at]) = (shape, -shape);
        (a[350 + at], b[350 + at]) = (3.0 * shape + 7.0, 5.0 - shape);
    }
    let values: Vec<f64> = (0..500).flat_map(|at| [a[at], c[at], b[at]]).collect();
    let selection = Selection { values: &values, dimension: 3, window: 20, normalize: true };
    let best = |counted| {
        let computation = Computation::self_join(&selection).unwrap().dimensions(counted).unwrap();
        let profile = computation.run(&Deadline::none(), &Progress::default()).profile;
        let motif = motifs_of(&computation, &profile, 1, None, &Deadline::none()).0.remove(0);
        (motif.a, motif.b, computation.distances_by_dimension(motif.a, motif.b))
    };
    let (first, second, by_dimension) = best(Dimensions::Best(2));
    assert_eq!((first, second), (50, 350));
    assert!(by_dimension[0] < 1e-6 && by_dimension[2] < 1e-6 && by_dimension[1] > 0.5);
    // A wave in each dimension, and in one of them a beat that is flat.
    let mut rng = Rng::new(4);
    let mut values: Vec<f64> = (0..500)
        .flat_map(|at| {
            [10.0, 14.0, 17.0].map(|period| (f64::from(at) / period * std::f64::consts::TAU).sin())
        })
        .map(|value| value + 0.02 * rng.unit_f64())
        .collect();
    for at in 200..212 {
        values[3 * at + 1] = 0.02 * rng.unit_f64();
    }
    let selection = Selection { values: &values, dimension: 3, window: 14, normalize: true };
    let computation = Computation::self_join(&selection).unwrap().dimensions(Dimensions::Any).unwrap();
    let profile = computation.run(&Deadline::none(), &Progress::default()).profile;
    let worst = discords_of(&profile, 14, 1, |_| false)[0];
    assert!((187..212).contains(&worst.index), "{worst:?}");
    let by_dimension = computation.distances_by_dimension(worst.index, worst.neighbor);
    assert_eq!(by_dimension[1], worst.score);
}

#[test]
fn more_dimensions_than_there_are_can_not_be_counted() {
    let values = walk(100, 1);
    let selection = Selection { values: &values, dimension: 2, window: 8, normalize: true };
    for counted in [0, 3] {
        let refused = Computation::self_join(&selection).unwrap().dimensions(Dimensions::Best(counted));
        assert_eq!(refused.map(|_| ()).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    // All of them are the k best where k is all.
    let of = |counted| {
        let computation = Computation::self_join(&selection).unwrap().dimensions(counted).unwrap();
        computation.run(&Deadline::none(), &Progress::default())
    };
    assert_eq!(of(Dimensions::Best(2)), of(Dimensions::All));
    let flat: Vec<f64> = (0..50).flat_map(|at| [f64::from(at).sin(), 1.0]).collect();
    let flat = Selection { values: &flat, dimension: 2, window: 8, normalize: true };
    let is_flat = |counted| {
        let computation = Computation::self_join(&flat).unwrap().dimensions(counted).unwrap();
        computation.is_flat(3)
    };
    assert_eq!(
        [Dimensions::Best(1), Dimensions::Best(2), Dimensions::Any].map(is_flat),
        [true, false, false]
    );
}
