//! The definitions, word by word, in O(n²m) time: what tests compare with. Not for
//! use on more than a few thousand points.

use super::{Discord, Motif, Profile, Selection};

fn window_of(selection: &Selection<'_>, start: usize, dimension: usize) -> Vec<f64> {
    (start..start + selection.window)
        .map(|at| selection.values[at * selection.dimension + dimension])
        .collect()
}

fn is_constant(window: &[f64]) -> bool {
    window.iter().all(|value| *value == window[0])
}

fn z_normalized(window: &[f64]) -> Vec<f64> {
    let n = window.len() as f64;
    let origin = window[0];
    let greatest = window.iter().map(|value| (value - origin).abs()).fold(0.0, f64::max);
    let relative: Vec<f64> = window.iter().map(|value| (value - origin) / greatest).collect();
    let mean = relative.iter().sum::<f64>() / n;
    let centred: Vec<f64> = relative.iter().map(|value| value - mean).collect();
    let deviation = (centred.iter().map(|value| value * value).sum::<f64>() / n).sqrt();
    centred.into_iter().map(|value| value / deviation).collect()
}

/// The distance of two windows.
pub fn distance(selection: &Selection<'_>, i: usize, j: usize) -> f64 {
    let sum: f64 = (0..selection.dimension)
        .map(|dimension| {
            let (a, b) = (window_of(selection, i, dimension), window_of(selection, j, dimension));
            let euclidean =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            if !selection.normalize {
                return euclidean(&a, &b);
            }
            match (is_constant(&a), is_constant(&b)) {
                (true, true) => 0.0,
                (false, false) => euclidean(&z_normalized(&a), &z_normalized(&b)),
                _ => (selection.window as f64).sqrt(),
            }
        })
        .sum();
    sum / selection.dimension as f64
}

/// The nearest neighbour of every window.
pub fn profile(selection: &Selection<'_>) -> Profile {
    let windows = selection.windows();
    let mut profile =
        Profile { distances: vec![f64::INFINITY; windows], neighbors: vec![usize::MAX; windows] };
    for i in 0..windows {
        for j in 0..windows {
            if i.abs_diff(j) > selection.exclusion() {
                let d = distance(selection, i, j);
                if d < profile.distances[i] {
                    profile.distances[i] = d;
                    profile.neighbors[i] = j;
                }
            }
        }
    }
    profile
}

/// The `k` discords.
pub fn discords(selection: &Selection<'_>, k: usize) -> Vec<Discord> {
    super::discord::pick(&profile(selection), selection.window, k)
}

/// The `k` motifs.
pub fn motifs(selection: &Selection<'_>, k: usize) -> Vec<Motif> {
    let windows = selection.windows();
    let is_flat = |at: usize| {
        (0..selection.dimension).all(|dimension| is_constant(&window_of(selection, at, dimension)))
    };
    let mut pairs = Vec::new();
    for a in 0..windows {
        for b in a + selection.exclusion() + 1..windows {
            if !is_flat(a) && !is_flat(b) {
                pairs.push(Motif { a, b, distance: distance(selection, a, b) });
            }
        }
    }
    pairs.sort_by(|x, y| x.distance.total_cmp(&y.distance).then((x.a, x.b).cmp(&(y.a, y.b))));
    let mut found: Vec<Motif> = Vec::new();
    for pair in pairs {
        let taken = found.iter().flat_map(|motif| [motif.a, motif.b]).collect::<Vec<_>>();
        let free = |at: usize| taken.iter().all(|other| other.abs_diff(at) >= selection.window);
        if found.len() < k && free(pair.a) && free(pair.b) {
            found.push(pair);
        }
    }
    found
}
