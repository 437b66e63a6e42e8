//! Neighbours beyond the nearest.

use super::*;

#[test]
fn the_kth_neighbour_is_the_oracles() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let window = 3 + rng.below(20) as usize;
        let dimension = if rng.one_in(5) { 2 } else { 1 };
        let k = 1 + rng.below(4) as usize;
        let normalize = !rng.one_in(4);
        let [x, y] = [0, 1].map(|_| broken(window + 20 + rng.below(150) as usize, dimension, &mut rng));
        let [a, b] = [&x, &y].map(|values| Selection { values, dimension, window, normalize });
        let [usable_a, usable_b] = [a, b].map(|of| whole(&of, &vec![true; of.windows()]));
        for sides in [Sides::Both, Sides::Left, Sides::Right] {
            let may_match = |i: usize, j: usize| {
                let right_side = match sides {
                    Sides::Both => true,
                    Sides::Left => j < i,
                    Sides::Right => i < j,
                };
                usable_a[i] && usable_a[j] && right_side && i.abs_diff(j) > a.exclusion()
            };
            let expected = oracle::kth_nearest(&a, &a, k, Dimensions::All, may_match);
            let compute = || Computation::self_join(&a).unwrap().sides(sides).neighbor(k);
            check_with(&format!("k {k}, {sides:?}, seed {seed}"), (&a, &a), &expected, compute, may_match);
        }
        let may_match = |i: usize, j: usize| usable_a[i] && usable_b[j];
        let expected = oracle::kth_nearest(&a, &b, k, Dimensions::All, may_match);
        let join = || Computation::join(&a, &b).unwrap().neighbor(k);
        check_with(&format!("k {k}, join, seed {seed}"), (&a, &b), &expected, join, may_match);
    }
}

#[test]
fn it_is_the_oracles_on_hostile_data() {
    for (name, values) in hostile() {
        if ["steps", "huge", "minute"].contains(&name) {
            continue; // ties that rounding decides; what the oracle can't square
        }
        let selection = Selection { values: &values, dimension: 1, window: 24, normalize: true };
        let may_match = |i: usize, j: usize| i.abs_diff(j) > selection.exclusion();
        let expected = oracle::kth_nearest(&selection, &selection, 3, Dimensions::All, may_match);
        let compute = || Computation::self_join(&selection).unwrap().neighbor(3);
        check_with(name, (&selection, &selection), &expected, compute, may_match);
    }
}

#[test]
fn the_neighbours_of_a_window_end_with_the_kth() {
    let values = walk(400, 31);
    let selection = Selection { values: &values, dimension: 1, window: 16, normalize: true };
    let computation = Computation::self_join(&selection).unwrap();
    for k in 1..=4 {
        let profile = Computation::self_join(&selection).unwrap().neighbor(k);
        assert_eq!(profile.cells(), k as u64 * computation.cells());
        let profile = profile.run(&Deadline::none(), &Progress::default()).profile;
        for at in (0..selection.windows()).step_by(7) {
            let nearest = computation.nearest_of(at, k);
            assert_eq!(nearest.len(), k);
            assert_eq!(
                (nearest[k - 1].index, nearest[k - 1].distance),
                (profile.neighbors[at], profile.distances[at])
            );
        }
    }
}

#[test]
fn twins_are_found_by_their_second_neighbour() {
    // A beat of 25 points, twice distorted in the same way.
    let mut rng = Rng::new(3);
    let mut values: Vec<f64> = (0..1000)
        .map(|at| (f64::from(at) * std::f64::consts::TAU / 25.0).sin() + 0.05 * rng.unit_f64())
        .collect();
    for from in [300, 700] {
        for at in 0..20 {
            values[from + at] = 0.05 * (at as f64 - 10.0);
        }
    }
    let selection = Selection { values: &values, dimension: 1, window: 25, normalize: true };
    let worst = |k: usize| {
        let profile = Computation::self_join(&selection).unwrap().neighbor(k);
        let profile = profile.run(&Deadline::none(), &Progress::default()).profile;
        discords_of(&profile, 25, 2, |_| false)
    };
    let is_twin = |at: usize| [300, 700].iter().any(|from| at + 25 > *from && at < from + 20);
    let second = worst(2);
    assert!(second.iter().all(|discord| is_twin(discord.index)), "{second:?}");
    assert!(worst(1)[0].score < second[0].score / 2.0, "the nearest neighbour of one is the other");
}

#[test]
fn what_has_no_neighbour_comes_last() {
    // 12 points with a gap before and behind: their windows have no neighbour.
    let mut values = walk(120, 5);
    values[40] = f64::NAN;
    values[53] = f64::NAN;
    let selection = Selection { values: &values, dimension: 1, window: 12, normalize: true };
    let usable = whole(&selection, &vec![true; selection.windows()]);
    let other = Selection { values: &[f64::NAN; 30], ..selection };
    let alone = Computation::join(&selection, &other).unwrap();
    let outcome = alone.run(&Deadline::none(), &Progress::default());
    let found = discords_of(&outcome.profile, 12, 100, |at| alone.is_usable(at));
    let expected: Vec<usize> = [0, 12, 24, 41, 54, 66, 78, 90, 102].into();
    assert_eq!(found.iter().map(|discord| discord.index).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|discord| discord.score.is_infinite() && discord.neighbor == usize::MAX));
    assert!(discords_of(&outcome.profile, 12, 100, |_| false).is_empty());
    let with = Computation::self_join(&selection).unwrap().run(&Deadline::none(), &Progress::default());
    let found = discords_of(&with.profile, 12, 3, |at| usable[at]);
    assert!(found.iter().all(|discord| discord.score.is_finite()), "those with a neighbour come first");
}
