//! The best of many.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Keeps the `limit` greatest scores; of equals what came first.
#[derive(Debug)]
pub struct Top<T> {
    limit: usize,
    offered: u64,
    /// The worst is on top.
    heap: BinaryHeap<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    score: f64,
    order: u64,
    item: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.order.cmp(&other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> Top<T> {
    /// Nothing yet.
    pub fn new(limit: usize) -> Self {
        Self { limit, offered: 0, heap: BinaryHeap::new() }
    }

    /// Offers a score; `item` is made only if it is kept.
    pub fn offer(&mut self, score: f64, item: impl FnOnce() -> T) {
        let order = self.offered;
        self.offered += 1;
        if self.heap.len() >= self.limit {
            match self.heap.peek() {
                Some(worst) if score.total_cmp(&worst.score) == Ordering::Greater => {
                    self.heap.pop();
                }
                _ => return,
            }
        }
        self.heap.push(Entry { score, order, item: item() });
    }

    /// The least score that is kept.
    pub fn worst(&self) -> Option<f64> {
        self.heap.peek().map(|entry| entry.score)
    }

    /// The same, once no more are kept.
    pub fn worst_of_all(&self) -> Option<f64> {
        self.worst().filter(|_| self.heap.len() >= self.limit)
    }

    /// What was kept, best first.
    pub fn into_sorted(self) -> Vec<(f64, T)> {
        self.heap.into_sorted_vec().into_iter().map(|entry| (entry.score, entry.item)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_ties_by_age() {
        let mut top = Top::new(3);
        for (at, score) in [0.5, 0.9, 0.5, 0.9, 0.1, 0.5].into_iter().enumerate() {
            top.offer(score, || at);
        }
        assert_eq!(top.into_sorted(), [(0.9, 1), (0.9, 3), (0.5, 0)]);
    }
}
