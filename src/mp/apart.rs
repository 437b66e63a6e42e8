//! The nearest of some windows, of which no two are of one event.

/// A window, and how far it is from another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Its first point.
    pub index: usize,
    /// From the other one.
    pub distance: f64,
}

/// The nearest window, then the nearest that begins at least `apart` points from those
/// already taken, and so on, up to `count` of them and to the distance `radius`. Of equals the
/// earlier. What is infinitely far takes no part.
pub fn nearest_apart(distances: &[f64], apart: usize, count: usize, radius: f64) -> Vec<Near> {
    let mut order: Vec<usize> =
        (0..distances.len()).filter(|&at| distances[at].is_finite() && distances[at] <= radius).collect();
    order.sort_unstable_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
    let mut free = vec![true; distances.len()];
    let mut taken = Vec::new();
    for index in order {
        if taken.len() == count {
            break;
        }
        if free[index] {
            take(&mut free, index, apart);
            taken.push(Near { index, distance: distances[index] });
        }
    }
    taken
}

/// Windows that begin fewer than `apart` points from this one are free no more.
pub(super) fn take(free: &mut [bool], index: usize, apart: usize) {
    let to = (index + apart).min(free.len());
    free[(index + 1).saturating_sub(apart)..to].fill(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_apart_from_those_before_it() {
        let distances = [3.0, 1.0, 2.0, f64::INFINITY, 5.0, 1.0, 4.0, 9.0];
        let taken = |apart, count, radius| -> Vec<usize> {
            nearest_apart(&distances, apart, count, radius).iter().map(|near| near.index).collect()
        };
        assert_eq!(taken(1, 9, f64::INFINITY), [1, 5, 2, 0, 6, 4, 7]);
        assert_eq!(taken(2, 9, f64::INFINITY), [1, 5, 7]);
        assert_eq!(taken(2, 2, f64::INFINITY), [1, 5]);
        assert_eq!(taken(1, 9, 3.0), [1, 5, 2, 0]);
        assert!(nearest_apart(&[], 3, 1, 1.0).is_empty());
    }
}
