//! Chains: windows each of which is like the one before it, so that what they show may
//! drift far from where it began.
//!
//! A link leads from a window to another where the second is the nearest of all later
//! windows to the first, and the first the nearest of all earlier ones to the second. Source:
//! Zhu et al., "Matrix Profile VII: Time Series Chains" (ICDM 2017), whose all-chain set and
//! unanchored chain these are.

/// All chains of two windows and more, by their first windows, from the left and the right
/// neighbour of each (`usize::MAX` where there is none). No window is in two.
pub fn all_chains(left: &[usize], right: &[usize]) -> Vec<Vec<usize>> {
    let next = |at: usize| right.get(at).copied().filter(|&next| left.get(next) == Some(&at));
    let is_linked_back = |at: usize| left.get(at).is_some_and(|&before| next(before) == Some(at));
    (0..right.len())
        .filter(|&at| !is_linked_back(at) && next(at).is_some())
        .map(|first| std::iter::successors(Some(first), |&at| next(at)).collect())
        .collect()
}

/// The `k` longest chains, of equals the earlier, none of which has a window that shares a
/// point with one of a chain before it.
pub fn longest_chains(mut chains: Vec<Vec<usize>>, window: usize, k: usize) -> Vec<Vec<usize>> {
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.len()));
    let mut taken: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for chain in chains {
        if found.len() == k {
            break;
        }
        let is_free = |at: usize| {
            let behind = taken.partition_point(|&other| other < at);
            let near = |other: Option<&usize>| other.is_some_and(|other| other.abs_diff(at) < window);
            !near(taken.get(behind)) && !near(behind.checked_sub(1).and_then(|before| taken.get(before)))
        };
        if chain.iter().all(|&at| is_free(at)) {
            taken.extend(&chain);
            taken.sort_unstable();
            found.push(chain);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    const NONE: usize = usize::MAX;

    /// The definition: chains that no window could be added to, at either end.
    fn oracle(left: &[usize], right: &[usize]) -> Vec<Vec<usize>> {
        let linked = |a: usize, b: usize| right[a] == b && left[b] == a;
        let mut chains: Vec<Vec<usize>> = (0..left.len()).map(|at| vec![at]).collect();
        loop {
            let pair = (0..chains.len())
                .flat_map(|x| (0..chains.len()).map(move |y| (x, y)))
                .find(|&(x, y)| x != y && linked(chains[x][chains[x].len() - 1], chains[y][0]));
            let Some((x, y)) = pair else { break };
            let tail = chains[y].clone();
            chains[x].extend(tail);
            chains.remove(y);
        }
        chains.retain(|chain| chain.len() > 1);
        chains.sort();
        chains
    }

    #[test]
    fn chains_go_as_far_as_links_do() {
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let n = 2 + rng.below(30) as usize;
            let mut neighbor = |low: usize, high: usize| {
                if low < high && !rng.one_in(5) {
                    low + rng.below((high - low) as u64) as usize
                } else {
                    NONE
                }
            };
            let left: Vec<usize> = (0..n).map(|at| neighbor(at.saturating_sub(3), at)).collect();
            let right: Vec<usize> = (0..n).map(|at| neighbor(at + 1, (at + 4).min(n))).collect();
            assert_eq!(all_chains(&left, &right), oracle(&left, &right), "seed {seed}");
        }
    }

    #[test]
    fn the_longest_come_first_and_share_no_point() {
        let chains = vec![vec![0, 9], vec![2, 12, 30], vec![4, 20, 40], vec![60, 70], vec![80, 90]];
        let found = longest_chains(chains.clone(), 5, 9);
        assert_eq!(found, [vec![2, 12, 30], vec![60, 70], vec![80, 90]]);
        assert_eq!(longest_chains(chains, 2, 2), [vec![2, 12, 30], vec![4, 20, 40]]);
    }
}
