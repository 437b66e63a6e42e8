//! The definitions, word by word, in O(n²m) time: what tests compare with. Not for
//! use on more than a few thousand points.

use crate::base::Dimensions;

use super::{Discord, Motif, Near, Profile, Selection};

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

/// A window of one dimension as it is compared.
struct Shape {
    values: Vec<f64>,
    /// Normalised, and all its values are the same.
    is_constant: bool,
}

impl Shape {
    fn new(selection: &Selection<'_>, start: usize, dimension: usize) -> Self {
        let values = window_of(selection, start, dimension);
        let is_constant = selection.normalize && is_constant(&values);
        let values = if selection.normalize && !is_constant { z_normalized(&values) } else { values };
        Self { values, is_constant }
    }

    fn distance(&self, other: &Self) -> f64 {
        match (self.is_constant, other.is_constant) {
            (true, true) => 0.0,
            (false, false) => {
                self.values.iter().zip(&other.values).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
            }
            _ => (self.values.len() as f64).sqrt(),
        }
    }
}

/// The distance of window `i` of `a` and window `j` of `b`.
pub fn distance_between(a: &Selection<'_>, i: usize, b: &Selection<'_>, j: usize) -> f64 {
    of_dimensions(distances_by_dimension(a, i, b, j), Dimensions::All)
}

/// Their distances in each dimension.
pub fn distances_by_dimension(a: &Selection<'_>, i: usize, b: &Selection<'_>, j: usize) -> Vec<f64> {
    (0..a.dimension)
        .map(|dimension| Shape::new(a, i, dimension).distance(&Shape::new(b, j, dimension)))
        .collect()
}

/// The distance that those in each dimension make.
pub fn of_dimensions(mut distances: Vec<f64>, counted: Dimensions) -> f64 {
    distances.sort_by(f64::total_cmp);
    let counted = match counted {
        Dimensions::All => distances.len(),
        Dimensions::Best(counted) => counted,
        Dimensions::Any => return distances[distances.len() - 1],
    };
    distances[..counted].iter().sum::<f64>() / counted as f64
}

/// The distance of two windows.
pub fn distance(selection: &Selection<'_>, i: usize, j: usize) -> f64 {
    distance_between(selection, i, selection, j)
}

/// The nearest neighbour in `b` of every window of `a`, among the pairs that may match.
pub fn nearest(a: &Selection<'_>, b: &Selection<'_>, may_match: impl Fn(usize, usize) -> bool) -> Profile {
    kth_nearest(a, b, 1, Dimensions::All, may_match)
}

/// The k-th nearest neighbour, each further than the exclusion zone from those before it.
pub fn kth_nearest(
    a: &Selection<'_>,
    b: &Selection<'_>,
    k: usize,
    counted: Dimensions,
    may_match: impl Fn(usize, usize) -> bool,
) -> Profile {
    let [of_a, of_b] = [a, b].map(|selection| {
        (0..selection.windows())
            .map(|at| {
                (0..selection.dimension).map(|dimension| Shape::new(selection, at, dimension)).collect()
            })
            .collect::<Vec<Vec<Shape>>>()
    });
    let windows = a.windows();
    let mut profile =
        Profile { distances: vec![f64::INFINITY; windows], neighbors: vec![usize::MAX; windows] };
    for (i, x) in of_a.iter().enumerate() {
        let mut others: Vec<(f64, usize)> = Vec::new();
        for (j, y) in of_b.iter().enumerate() {
            if may_match(i, j) {
                let distances = x.iter().zip(y).map(|(x, y)| x.distance(y)).collect();
                others.push((of_dimensions(distances, counted), j));
            }
        }
        for at in 1..=k {
            let nearest = others.iter().copied().min_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            let Some((distance, neighbor)) = nearest else { break };
            if at == k {
                (profile.distances[i], profile.neighbors[i]) = (distance, neighbor);
            }
            others.retain(|(_, other)| other.abs_diff(neighbor) > a.exclusion());
        }
    }
    profile
}

/// The nearest neighbour of every window.
pub fn profile(selection: &Selection<'_>) -> Profile {
    nearest(selection, selection, |i, j| i.abs_diff(j) > selection.exclusion())
}

/// The `k` discords.
pub fn discords(selection: &Selection<'_>, k: usize) -> Vec<Discord> {
    super::discords_of(&profile(selection), selection.window, k, |_| false)
}

/// The `k` motifs, each with all windows no further than twice as far from its first as
/// its windows from each other.
pub fn motif_sets(selection: &Selection<'_>, k: usize) -> Vec<Motif> {
    let mut pairs = pairs(selection);
    let mut found: Vec<Motif> = Vec::new();
    while found.len() < k
        && let Some(pair) = pairs.first().cloned()
    {
        let (a, radius) = (pair.a, 2.0 * pair.distance);
        let apart = |x: usize, y: usize| x.abs_diff(y) >= selection.window;
        let mut set = vec![Near { index: a, distance: 0.0 }, Near { index: pair.b, distance: pair.distance }];
        // A window is still free where some pair has it.
        let mut free: Vec<usize> = pairs.iter().flat_map(|pair| [pair.a, pair.b]).collect();
        free.sort_unstable();
        free.dedup();
        let mut others: Vec<Near> = free
            .into_iter()
            .filter(|&index| apart(index, a) && apart(index, pair.b))
            .map(|index| Near { index, distance: distance(selection, a, index) })
            .filter(|near| near.distance <= radius + 1e-8)
            .collect();
        others.sort_by(|x, y| x.distance.total_cmp(&y.distance).then(x.index.cmp(&y.index)));
        for near in others {
            if set.iter().all(|other| apart(near.index, other.index)) {
                set.push(near);
            }
        }
        pairs.retain(|pair| set.iter().all(|near| apart(pair.a, near.index) && apart(pair.b, near.index)));
        found.push(Motif { radius: Some(radius), occurrences: set, ..pair });
    }
    found
}

/// The `k` motifs.
pub fn motifs(selection: &Selection<'_>, k: usize) -> Vec<Motif> {
    let mut found: Vec<Motif> = Vec::new();
    for pair in pairs(selection) {
        let taken = found.iter().flat_map(|motif| [motif.a, motif.b]).collect::<Vec<_>>();
        let free = |at: usize| taken.iter().all(|other| other.abs_diff(at) >= selection.window);
        if found.len() < k && free(pair.a) && free(pair.b) {
            found.push(pair);
        }
    }
    found
}

/// All pairs of neighbours that are not flat, the closest first.
fn pairs(selection: &Selection<'_>) -> Vec<Motif> {
    let windows = selection.windows();
    let is_flat = |at: usize| {
        (0..selection.dimension).all(|dimension| is_constant(&window_of(selection, at, dimension)))
    };
    let mut pairs = Vec::new();
    for a in 0..windows {
        for b in a + selection.exclusion() + 1..windows {
            if !is_flat(a) && !is_flat(b) {
                let distance = distance(selection, a, b);
                pairs.push(Motif { a, b, distance, radius: None, occurrences: Vec::new() });
            }
        }
    }
    pairs.sort_by(|x, y| x.distance.total_cmp(&y.distance).then((x.a, x.b).cmp(&(y.a, y.b))));
    pairs
}
