//! What is said of whole series: distances between them, snippets, regimes, chains.

use super::*;

#[test]
fn distances_between_series_are_the_oracles() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let window = 3 + rng.below(20) as usize;
        let normalize = !rng.one_in(4);
        let [x, y] = [0, 1].map(|_| broken(window + 20 + rng.below(100) as usize, 1, &mut rng));
        let [a, b] = [&x, &y].map(|values| Selection { values, dimension: 1, window, normalize });
        let [usable_a, usable_b] = [a, b].map(|of| whole(&of, &vec![true; of.windows()]));
        let nearest = [
            oracle::nearest(&a, &b, |i, j| usable_a[i] && usable_b[j]),
            oracle::nearest(&b, &a, |i, j| usable_b[i] && usable_a[j]),
        ];
        let mut all: Vec<f64> = nearest.iter().flat_map(|of| &of.distances).copied().collect();
        all.retain(|distance| distance.is_finite());
        all.sort_by(f64::total_cmp);
        let points = x.len() + y.len();
        let expected = all.get(points.div_ceil(20)).or(all.last()).copied();
        let [ab, ba] = [(&a, &b), (&b, &a)].map(|(one, other)| {
            let join = Computation::join(one, other).unwrap();
            join.run(&Deadline::none(), &Progress::default()).profile
        });
        let found = mpdist_of([&ab, &ba], points, MPDIST_PART);
        assert_eq!(found.is_some(), expected.is_some(), "seed {seed}");
        if let (Some(found), Some(expected)) = (found, expected) {
            close(&format!("seed {seed}"), found, expected, window);
            assert_eq!(mpdist_of([&ba, &ab], points, MPDIST_PART), Some(found), "either way");
        }
    }
}

/// The definition, word by word: index, fraction and area of each.
fn snippets_of(selection: &Selection<'_>, length: usize, whole: &[bool], k: usize) -> Vec<Snippet> {
    let inner = length - selection.window + 1;
    let mut candidates: Vec<usize> = Vec::new();
    for at in 0..whole.len() {
        let begins = at == 0 || !whole[at - 1];
        let goes_on = candidates.last().is_some_and(|last| last + length == at);
        if whole[at] && (begins || goes_on) {
            candidates.push(at);
        }
    }
    let windows: Vec<usize> = (0..whole.len()).filter(|&at| whole[at]).collect();
    let distance = |candidate: usize, window: usize| {
        let least = |i: usize, from: usize| {
            let of = (from..from + inner).map(|j| oracle::distance(selection, i, j));
            of.fold(f64::INFINITY, f64::min)
        };
        let mut all: Vec<f64> = (candidate..candidate + inner).map(|i| least(i, window)).collect();
        all.extend((window..window + inner).map(|j| least(j, candidate)));
        all.sort_by(f64::total_cmp);
        all[length.div_ceil(10).min(2 * inner - 1)]
    };
    let profiles: Vec<Vec<f64>> =
        candidates.iter().map(|&from| windows.iter().map(|&at| distance(from, at)).collect()).collect();
    let mut found: Vec<Snippet> = Vec::new();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < k.min(candidates.len()) {
        let area = |more: usize| -> f64 {
            let nearest = |window: usize| {
                chosen.iter().chain([&more]).map(|&at| profiles[at][window]).fold(f64::INFINITY, f64::min)
            };
            (0..windows.len()).map(nearest).sum()
        };
        let free = (0..candidates.len()).filter(|at| !chosen.contains(at));
        let best = free.min_by(|&a, &b| area(a).total_cmp(&area(b))).unwrap();
        found.push(Snippet { index: candidates[best], fraction: 0.0, area: area(best) });
        chosen.push(best);
    }
    let chosen: Vec<&Vec<f64>> = chosen.into_iter().map(|at| &profiles[at]).collect();
    for (window, _) in windows.iter().enumerate() {
        let of = |at: usize| chosen[at][window];
        let nearest = (0..chosen.len()).min_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap();
        found[nearest].fraction += 1.0 / windows.len() as f64;
    }
    found
}

#[test]
fn snippets_are_the_oracles() {
    for seed in 0..16 {
        let mut rng = Rng::new(seed);
        let part = 4 + rng.below(8) as usize;
        let length = part + rng.below(12) as usize;
        let values = walk(3 * length + rng.below(60) as usize, seed);
        let normalize = !rng.one_in(4);
        let selection = Selection { values: &values, dimension: 1, window: part, normalize };
        let mut mask = vec![true; values.len() - length + 1];
        if rng.one_in(2) {
            // No window crosses a gap.
            let gap = length + rng.below(length as u64) as usize;
            mask[gap + 1 - length..gap].fill(false);
        }
        let computation = Computation::self_join(&selection).unwrap();
        let search = Snippets::new(&computation, length, &mask);
        let [found, again] = [1, 2].map(|threads| {
            pools()[threads].install(|| search.find(3, &Deadline::none(), &Progress::default()))
        });
        assert_eq!(found, again, "it depends on the number of threads");
        assert_eq!(found.cells, search.cells(), "seed {seed}");
        let expected = snippets_of(&selection, length, &mask, 3);
        assert_eq!(found.snippets.len(), expected.len());
        for (found, expected) in found.snippets.iter().zip(&expected) {
            assert_eq!(found.index, expected.index, "seed {seed}");
            assert!((found.fraction - expected.fraction).abs() < 1e-9, "seed {seed}: {found:?} {expected:?}");
            assert!((found.area - expected.area).abs() < 1e-9 * expected.area.max(1.0));
        }
    }
}

#[test]
fn snippets_that_were_not_looked_at_in_time_are_none() {
    let values = walk(400, 2);
    let selection = Selection { values: &values, dimension: 1, window: 10, normalize: true };
    let computation = Computation::self_join(&selection).unwrap();
    let whole = vec![true; 381];
    let deadline = Deadline::none();
    deadline.cancel();
    let found = Snippets::new(&computation, 20, &whole).find(3, &deadline, &Progress::default());
    assert_eq!(found, SnippetsFound { snippets: Vec::new(), cells: 0 });
}

#[test]
fn a_change_is_where_the_shape_changes() {
    for (name, change) in [("early", 220), ("late", 390)] {
        let mut rng = Rng::new(change as u64);
        let values: Vec<f64> = (0..600)
            .map(|at| {
                let turn = at as f64 * std::f64::consts::TAU / 20.0;
                let shape =
                    if at < change { turn.sin() } else { (turn.sin() * 3.0).tanh() + (2.0 * turn).cos() };
                1e6 + shape + 0.2 * rng.unit_f64()
            })
            .collect();
        let selection = Selection { values: &values, dimension: 1, window: 20, normalize: true };
        let curve = corrected_arc_curve(&profile(&selection, &Deadline::none()).unwrap(), 20, |_| true);
        let found = changes_of(&curve, 20, 1)[0];
        assert!(found.index.abs_diff(change) <= 25, "{name}: {found:?}");
        assert!(found.score < 0.2, "{name}: {found:?}");
    }
}
