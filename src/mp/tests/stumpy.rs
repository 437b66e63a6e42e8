//! What is found is what STUMPY finds: `benches/peers/stumpy_fixtures.py` wrote it down.

use serde_json::Value;

use super::*;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/stumpy/analyses.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    // What is not finite is null.
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::INFINITY)).collect()
}

fn indexes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as usize).collect()
}

/// STUMPY's own rounding is greater.
fn near(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6 || found == expected, "{name}: {found} instead of {expected}");
}

#[test]
fn neighbours_of_a_window() {
    let fixture = fixture();
    let values = numbers(&fixture["series"]);
    let selection = Selection { values: &values, dimension: 1, window: 16, normalize: true };
    let computation = Computation::self_join(&selection).unwrap();
    let (expected, query) = (&fixture["match"], fixture["match"]["query"].as_u64().unwrap() as usize);
    // There the window itself comes first.
    let found = computation.nearest_of(query, 5);
    assert_eq!(found.iter().map(|near| near.index).collect::<Vec<_>>(), indexes(&expected["indices"])[1..]);
    for (found, expected) in found.iter().zip(&numbers(&expected["distances"])[1..]) {
        near("match", found.distance, *expected);
    }
    // All within a radius.
    let expected = &fixture["within"];
    let distances = computation.distances_from(query);
    let found = nearest_apart(
        &distances,
        selection.exclusion() + 1,
        usize::MAX,
        expected["radius"].as_f64().unwrap(),
    );
    assert_eq!(found.iter().map(|near| near.index).collect::<Vec<_>>(), indexes(&expected["indices"])[1..]);
}

#[test]
fn multidimensional_profiles() {
    let fixture = &fixture()["mstump"];
    let series: Vec<Vec<f64>> = fixture["series"].as_array().unwrap().iter().map(numbers).collect();
    let values: Vec<f64> = (0..series[0].len()).flat_map(|at| series.iter().map(move |of| of[at])).collect();
    let selection = Selection { values: &values, dimension: 3, window: 12, normalize: true };
    let check = |counted, distances: &Value, neighbors: &Value| {
        let computation = Computation::self_join(&selection).unwrap().dimensions(counted).unwrap();
        let found = computation.run(&Deadline::none(), &Progress::default()).profile;
        for (found, expected) in found.distances.iter().zip(numbers(distances)) {
            near("mstump", *found, expected);
        }
        assert_eq!(found.neighbors, indexes(neighbors), "{counted:?}");
    };
    for best in 1..=3 {
        let counted = Dimensions::Best(best);
        check(counted, &fixture["profiles"][best - 1], &fixture["indices"][best - 1]);
    }
    check(Dimensions::Any, &fixture["worst"], &fixture["worst_indices"]);
}

#[test]
fn changes_of_regimes() {
    let fixture = fixture();
    let values = numbers(&fixture["series"]);
    let selection = Selection { values: &values, dimension: 1, window: 16, normalize: true };
    let curve = corrected_arc_curve(&profile(&selection, &Deadline::none()).unwrap(), 16, |_| true);
    let expected = numbers(&fixture["fluss"]["curve"]);
    assert_eq!(curve.len(), expected.len());
    for (found, expected) in curve.iter().zip(&expected) {
        near("fluss", *found, *expected);
    }
    let changes: Vec<usize> = changes_of(&curve, 16, 1).iter().map(|change| change.index).collect();
    assert_eq!(changes, indexes(&fixture["fluss"]["changes"]));
}

#[test]
fn chains() {
    let fixture = &fixture()["chains"];
    let values = numbers(&fixture["series"]);
    let selection = Selection { values: &values, dimension: 1, window: 16, normalize: true };
    let [left, right] = [Sides::Left, Sides::Right].map(|sides| {
        let computation = Computation::self_join(&selection).unwrap().sides(sides);
        computation.run(&Deadline::none(), &Progress::default()).profile.neighbors
    });
    let all = all_chains(&left, &right);
    let expected: Vec<Vec<usize>> = fixture["all"].as_array().unwrap().iter().map(indexes).collect();
    assert_eq!(all, expected);
    assert_eq!(longest_chains(all, 16, 1), [indexes(&fixture["longest"])]);
}

#[test]
fn distances_of_series() {
    let fixture = fixture();
    let (x, y) = (numbers(&fixture["series"]), numbers(&fixture["other"]));
    for of in fixture["mpdist"].as_array().unwrap() {
        let window = of["window"].as_u64().unwrap() as usize;
        let [a, b] = [&x, &y].map(|values| Selection { values, dimension: 1, window, normalize: true });
        let [ab, ba] = [(&a, &b), (&b, &a)].map(|(one, other)| {
            let join = Computation::join(one, other).unwrap();
            join.run(&Deadline::none(), &Progress::default()).profile
        });
        let part = of["percentage"].as_f64().unwrap();
        let found = mpdist_of([&ab, &ba], x.len() + y.len(), part).unwrap();
        near(&format!("window {window}, {part}"), found, of["distance"].as_f64().unwrap());
    }
}

#[test]
fn snippets() {
    let fixture = fixture();
    let values = numbers(&fixture["series"]);
    for of in fixture["snippets"].as_array().unwrap() {
        let [length, part] = ["window", "part"].map(|name| of[name].as_u64().unwrap() as usize);
        let selection = Selection { values: &values, dimension: 1, window: part, normalize: true };
        let computation = Computation::self_join(&selection).unwrap();
        let whole = vec![true; values.len() - length + 1];
        let search = Snippets::new(&computation, length, &whole);
        let found = search.find(3, &Deadline::none(), &Progress::default());
        assert_eq!(found.cells, search.cells());
        let found = found.snippets;
        assert_eq!(found.iter().map(|snippet| snippet.index).collect::<Vec<_>>(), indexes(&of["indices"]));
        for (at, snippet) in found.iter().enumerate() {
            near("fraction", snippet.fraction, numbers(&of["fractions"])[at]);
            assert!((snippet.area - numbers(&of["areas"])[at]).abs() < 1e-4, "{snippet:?}");
        }
    }
}
