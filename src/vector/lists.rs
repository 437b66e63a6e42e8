//! Inverted lists: rows of a [`VectorBlock`] that have about the same direction stand
//! together, so that a query looks at the lists whose middle is most like it and leaves
//! the rest out.
//!
//! The middles come from spherical k-means (Dhillon and Modha, "Concept decompositions
//! for large sparse text data using clustering", 2001) over a sample, the lists from
//! assigning each row to the middle most like it (the inverted file of Jégou, Douze and
//! Schmid, "Product quantization for nearest neighbor search", 2011, without the
//! quantization). How many lists must be probed is measured, not guessed: some rows are
//! taken for queries, and it is noted which part of their true neighbours so many lists
//! hold ([`Reach`]).

use crate::base::{Deadline, Result, Rng};
use crate::format::{Reader, put_varint};
use crate::kernels::{GROUP, Instructions, group_dots, interleave};

use super::VectorBlock;
use super::nearest::Nearest;

/// Most lists of a series in a segment.
const LISTS_MAX: usize = 4096;
/// Rows of the sample for each list.
const SAMPLE_A_LIST: usize = 32;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Rows that are taken for queries to measure the reach.
const QUERIES: usize = 256;
/// Neighbours of a query of which the reach is measured.
const NEIGHBOURS: [usize; 2] = [10, 100];
/// Of so many queries one has neighbours that are less near than usual.
const UNUSUAL: usize = 50;
/// Where more than one list of so many must be probed, looking at all rows is as fast.
const SHARE: usize = 4;
/// Rows or middles that are multiplied at a time.
const STRETCH: usize = 256;

/// The part of the true neighbours of a query that the most promising lists hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// How many lists.
    pub probes: u32,
    /// Of the ten nearest: the mean over the queries less twice its standard error.
    pub of_ten: f32,
    /// The same of the hundred nearest.
    pub of_hundred: f32,
}

/// The lists of one series in one segment; see the module's tour.
#[derive(Debug, Clone, PartialEq)]
pub struct Lists {
    dimension: usize,
    /// The middle of each list, of length 1, one after another.
    centroids: Vec<f32>,
    /// Where each list starts in `rows`, and how many there are.
    starts: Vec<u32>,
    /// Rows, list by list, ascending in each.
    rows: Vec<u32>,
    /// Ascending by probes.
    reach: Vec<Reach>,
    /// The product with the tenth and with the hundredth neighbour that most queries exceed.
    usual: [f32; 2],
}

impl Lists {
    /// Makes lists for a block whose rows stand in the order of the segment. Where they
    /// would not spare most of the work, there are none: [`is_empty`](Self::is_empty).
    /// The same rows and seed give the same lists.
    ///
    /// # Errors
    /// `TIMEOUT` once the deadline is over.
    pub fn build(block: &VectorBlock, seed: u64, deadline: &Deadline) -> Result<Self> {
        let (rows, dimension) = (block.rows(), block.dimension());
        let none = || Self {
            dimension,
            centroids: Vec::new(),
            starts: vec![0],
            rows: Vec::new(),
            reach: Vec::new(),
            usual: [-1.0; 2],
        };
        let count = (4.0 * (rows as f64).sqrt()).round() as usize;
        let count = count.min(rows / 4).min(LISTS_MAX);
        if count < 2 {
            return Ok(none());
        }
        let mut rng = Rng::new(seed);
        let sample = pick(rows, count * SAMPLE_A_LIST, &mut rng);
        let mut numbers = Vec::with_capacity(sample.len() * dimension);
        for &row in &sample {
            numbers.extend_from_slice(block.numbers(row..row + 1));
        }
        let centroids = middles(&numbers, dimension, count, &mut rng, deadline)?;
        let list_of = nearest_middles(block.numbers(0..rows), dimension, &centroids, deadline)?;
        let (reach, usual) = measure(block, &centroids, &list_of, &mut rng, deadline)?;
        let mut starts = vec![0_u32; count + 1];
        for &list in &list_of {
            starts[list as usize + 1] += 1;
        }
        for list in 0..count {
            starts[list + 1] += starts[list];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; rows];
        for (row, &list) in list_of.iter().enumerate() {
            let slot = &mut next[list as usize];
            sorted[*slot as usize] = row as u32;
            *slot += 1;
        }
        let lists = Self { dimension, centroids, starts, rows: sorted, reach, usual };
        let is_of_use = lists.probes_for(NEIGHBOURS[0], 0.9).is_some();
        Ok(if is_of_use { lists } else { none() })
    }

    /// Whether there are none, for they are of no use.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Their middles.
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    /// Places of a list's rows among [`rows`](Self::rows).
    pub fn slots(&self, list: usize) -> std::ops::Range<usize> {
        self.starts[list] as usize..self.starts[list + 1] as usize
    }

    /// Rows, list by list, ascending in each.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// What was measured.
    pub fn reach(&self) -> &[Reach] {
        &self.reach
    }

    /// How many lists hold `recall` of the nearest `limit` rows, as was measured; `None`
    /// where looking at all rows is as fast, or nobody knows.
    pub fn probes_for(&self, limit: usize, recall: f64) -> Option<usize> {
        let of = |reach: &Reach| match limit {
            _ if limit <= NEIGHBOURS[0] => reach.of_ten,
            _ if limit <= NEIGHBOURS[1] => reach.of_hundred,
            _ => 0.0,
        };
        let found = self.reach.iter().find(|reach| f64::from(of(reach)) >= recall)?;
        (found.probes as usize * SHARE <= self.len()).then_some(found.probes as usize)
    }

    /// What the product with the last of `limit` neighbours usually exceeds. Of a query with
    /// less the measure says little: it is unlike the rows, or its neighbours are not selected.
    pub fn usual_for(&self, limit: usize) -> f32 {
        self.usual[usize::from(limit > NEIGHBOURS[0])]
    }

    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        (self.centroids.capacity() + self.starts.capacity() + self.rows.capacity()) * 4
            + size_of_val(self.reach.as_slice())
    }

    /// Bytes, as `docs/format/vectors.md` has them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.centroids.len() * 4 + self.rows.len() * 2);
        put_varint(&mut out, self.dimension as u64);
        put_varint(&mut out, self.rows.len() as u64);
        put_varint(&mut out, self.len() as u64);
        put_varint(&mut out, self.reach.len() as u64);
        for usual in self.usual {
            out.extend_from_slice(&usual.to_le_bytes());
        }
        for reach in &self.reach {
            put_varint(&mut out, u64::from(reach.probes));
            out.extend_from_slice(&reach.of_ten.to_le_bytes());
            out.extend_from_slice(&reach.of_hundred.to_le_bytes());
        }
        for number in &self.centroids {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for list in 0..self.len() {
            let rows = &self.rows[self.slots(list)];
            put_varint(&mut out, rows.len() as u64);
            let mut last = 0;
            for &row in rows {
                put_varint(&mut out, u64::from(row - last));
                last = row;
            }
        }
        out
    }

    /// Reads the lists of a series of this dimension and so many rows.
    ///
    /// # Errors
    /// `CORRUPT_DATA` for anything that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8], dimension: usize, rows: usize) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let found = reader.varint_max(u64::from(u32::MAX), "a dimension")?;
        let listed = reader.varint_max(u64::from(u32::MAX), "the rows of lists")?;
        if found != dimension || (listed != rows && listed != 0) {
            return Err(reader.error(format_args!(
                "lists of {listed} rows and dimension {found} for {rows} rows of dimension {dimension}"
            )));
        }
        let count = reader.varint_max(LISTS_MAX as u64, "the number of lists")?;
        if (count == 0) != (listed == 0) {
            return Err(reader.error(format_args!("{count} lists of {listed} rows")));
        }
        let steps = reader.varint_max(64, "the steps of the reach")?;
        let usual = [f32::from_bits(reader.u32()?), f32::from_bits(reader.u32()?)];
        if usual.iter().any(|product| !(-2.0..=2.0).contains(product)) {
            return Err(reader.error(format_args!("usual products of {} and {}", usual[0], usual[1])));
        }
        let mut reach = Vec::new();
        for _ in 0..steps {
            let probes = reader.varint_max(count as u64, "the probes of a reach")? as u32;
            let (of_ten, of_hundred) = (f32::from_bits(reader.u32()?), f32::from_bits(reader.u32()?));
            let is_part = |part: f32| (0.0..=1.0).contains(&part);
            if probes == 0 || !is_part(of_ten) || !is_part(of_hundred) {
                return Err(reader.error(format_args!("a reach of {of_ten} and {of_hundred}")));
            }
            reach.push(Reach { probes, of_ten, of_hundred });
        }
        let raw = reader.take(count * dimension * 4)?;
        let centroids: Vec<f32> =
            raw.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if !centroids.iter().all(|number| number.is_finite()) {
            return Err(reader.error("a middle that is not finite"));
        }
        let mut is_listed = vec![false; listed];
        let mut starts = vec![0];
        let mut all = Vec::with_capacity(listed);
        for _ in 0..count {
            let mut last = 0;
            for at in 0..reader.varint_max((listed - all.len()) as u64, "the rows of a list")? {
                let step = reader.varint_max(u64::from(u32::MAX), "a row")?;
                let row = last + step;
                if (step == 0 && at > 0) || is_listed.get(row).is_none_or(|&listed| listed) {
                    return Err(reader.error(format_args!("row {row} in the wrong place")));
                }
                is_listed[row] = true;
                all.push(row as u32);
                last = row;
            }
            starts.push(all.len() as u32);
        }
        if all.len() != listed {
            return Err(reader.error(format_args!("{} of {listed} rows are in lists", all.len())));
        }
        reader.finish()?;
        Ok(Self { dimension, centroids, starts, rows: all, reach, usual })
    }
}

/// So many of the rows, or all, ascending.
fn pick(rows: usize, wanted: usize, rng: &mut Rng) -> Vec<usize> {
    if rows <= wanted {
        return (0..rows).collect();
    }
    // One of each of equal stretches.
    let edge = |at: usize| at * rows / wanted;
    (0..wanted).map(|at| edge(at) + rng.below((edge(at + 1) - edge(at)) as u64) as usize).collect()
}

/// The middles of `count` groups of rows.
fn middles(
    numbers: &[f32],
    dimension: usize,
    count: usize,
    rng: &mut Rng,
    deadline: &Deadline,
) -> Result<Vec<f32>> {
    let rows = numbers.len() / dimension;
    let row = |at: usize| &numbers[at * dimension..(at + 1) * dimension];
    let mut centroids = Vec::with_capacity(count * dimension);
    for at in pick(rows, count, rng) {
        centroids.extend_from_slice(row(at));
    }
    let mut before = Vec::new();
    for _ in 0..ROUNDS {
        let list_of = nearest_middles(numbers, dimension, &centroids, deadline)?;
        if list_of == before {
            break;
        }
        let mut sums = vec![0.0_f32; centroids.len()];
        for (at, &list) in list_of.iter().enumerate() {
            let sum = &mut sums[list as usize * dimension..][..dimension];
            for (sum, number) in sum.iter_mut().zip(row(at)) {
                *sum += number;
            }
        }
        for (sum, centroid) in sums.chunks_exact_mut(dimension).zip(centroids.chunks_exact_mut(dimension)) {
            let length = sum.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
            if length > 1e-6 {
                for (number, sum) in centroid.iter_mut().zip(sum) {
                    *number = (f64::from(*sum) / length) as f32;
                }
            } else {
                // Nothing in it, or what cancels out: it starts somewhere else.
                centroid.copy_from_slice(row(rng.below(rows as u64) as usize));
            }
        }
        before = list_of;
    }
    Ok(centroids)
}

/// For each row the middle that is most like it; of equals the first.
fn nearest_middles(
    numbers: &[f32],
    dimension: usize,
    centroids: &[f32],
    deadline: &Deadline,
) -> Result<Vec<u32>> {
    let instructions = Instructions::best();
    let mut list_of = Vec::with_capacity(numbers.len() / dimension);
    let mut scores = [[0.0; GROUP]; STRETCH];
    for (at, rows) in numbers.chunks(dimension * GROUP).enumerate() {
        if at % 256 == 0 {
            deadline.check()?;
        }
        let group = interleave(rows.chunks_exact(dimension), dimension);
        let (mut best, mut list) = ([f32::NEG_INFINITY; GROUP], [0_u32; GROUP]);
        for (stretch, centroids) in centroids.chunks(dimension * STRETCH).enumerate() {
            let scores = &mut scores[..centroids.len() / dimension];
            group_dots(instructions, &group, centroids, scores);
            let first = (stretch * STRETCH) as u32;
            instructions.run(
                #[inline(always)]
                || {
                    for (at, scores) in (first..).zip(scores.iter()) {
                        for lane in 0..GROUP {
                            let is_better = scores[lane] > best[lane];
                            best[lane] = if is_better { scores[lane] } else { best[lane] };
                            list[lane] = if is_better { at } else { list[lane] };
                        }
                    }
                },
            );
        }
        list_of.extend_from_slice(&list[..rows.len() / dimension]);
    }
    Ok(list_of)
}

/// Numbers of lists to try: 1, 2, 3, 4, 6, 8, 12, 16 …
fn steps(count: usize) -> impl Iterator<Item = usize> {
    let doubled = (1..usize::BITS - 2).flat_map(|bits| [1 << bits, 3 << (bits - 1)]);
    std::iter::once(1).chain(doubled).take_while(move |&step| step <= count)
}

/// Looks where the true neighbours of some rows are. Neighbours in the order of the
/// segment do not count: windows that overlap the query would make it too easy.
fn measure(
    block: &VectorBlock,
    centroids: &[f32],
    list_of: &[u32],
    rng: &mut Rng,
    deadline: &Deadline,
) -> Result<(Vec<Reach>, [f32; 2])> {
    let (rows, dimension) = (block.rows(), block.dimension());
    let instructions = Instructions::best();
    let count = centroids.len() / dimension;
    let zone = dimension.min(rows / 64);
    let queries = pick(rows, QUERIES, rng);
    // For each query, the place of the list of each of its neighbours in its order.
    let mut places: Vec<Vec<usize>> = Vec::with_capacity(queries.len());
    // And the products with the tenth and the hundredth.
    let mut lasts = [Vec::new(), Vec::new()];
    let mut scores = vec![[0.0; GROUP]; STRETCH.max(count)];
    for queries in queries.chunks(GROUP) {
        let group = interleave(queries.iter().map(|&row| block.numbers(row..row + 1)), dimension);
        let mut nearest = vec![Nearest::new(NEIGHBOURS[1], 0.0, -2.0, usize::MAX); queries.len()];
        for start in (0..rows).step_by(STRETCH) {
            deadline.check()?;
            let end = (start + STRETCH).min(rows);
            let scores = &mut scores[..end - start];
            group_dots(instructions, &group, block.numbers(start..end), scores);
            for (row, scores) in (start..).zip(scores.iter()) {
                for ((nearest, &query), &score) in nearest.iter_mut().zip(queries).zip(scores) {
                    if score >= nearest.floor_rounded() && row.abs_diff(query) > zone {
                        nearest.offer(f64::from(score), row);
                    }
                }
            }
        }
        let scores = &mut scores[..count];
        group_dots(instructions, &group, centroids, scores);
        for (lane, nearest) in nearest.into_iter().enumerate() {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_unstable_by(|&a, &b| scores[b][lane].total_cmp(&scores[a][lane]));
            let mut place_of = vec![0; count];
            for (place, &list) in order.iter().enumerate() {
                place_of[list] = place;
            }
            let mut found = nearest.into_sorted().unwrap_or_default().0;
            found.truncate(NEIGHBOURS[1]);
            for (lasts, neighbours) in lasts.iter_mut().zip(NEIGHBOURS) {
                lasts.push(found.get(neighbours - 1).map_or(-1.0, |(product, _)| *product));
            }
            places.push(found.into_iter().map(|(_, row)| place_of[list_of[row] as usize]).collect());
        }
    }
    let part = |probes: usize, neighbours: usize| {
        let parts: Vec<f64> = places
            .iter()
            .map(|places| {
                let of = neighbours.min(places.len()).max(1);
                places.iter().take(of).filter(|&&place| place < probes).count() as f64 / of as f64
            })
            .collect();
        let n = parts.len() as f64;
        let mean = parts.iter().sum::<f64>() / n;
        let variance = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>() / n;
        (mean - 2.0 * (variance / n).sqrt()).clamp(0.0, 1.0) as f32
    };
    let mut reach = Vec::new();
    for probes in steps(count) {
        let [of_ten, of_hundred] = NEIGHBOURS.map(|neighbours| part(probes, neighbours));
        reach.push(Reach { probes: probes as u32, of_ten, of_hundred });
        if of_ten == 1.0 && of_hundred == 1.0 {
            break;
        }
    }
    let usual = lasts.map(|mut lasts| {
        lasts.sort_unstable_by(f64::total_cmp);
        lasts.get(lasts.len() / UNUSUAL).map_or(-1.0, |least| *least as f32)
    });
    Ok((reach, usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around a few directions.
    pub(super) fn clustered(rows: usize, dimension: usize, clusters: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let middles: Vec<f64> = (0..clusters * dimension).map(|_| rng.unit_f64() - 0.5).collect();
        (0..rows)
            .flat_map(|_| {
                let at = rng.below(clusters as u64) as usize * dimension;
                let middle = &middles[at..at + dimension];
                middle.iter().map(|number| number + 0.1 * (rng.unit_f64() - 0.5)).collect::<Vec<_>>()
            })
            .collect()
    }

    fn block(rows: usize, seed: u64) -> VectorBlock {
        VectorBlock::of_rows(&clustered(rows, 8, 60, seed), 8)
    }

    #[test]
    fn rows_are_in_the_list_of_the_nearest_middle_and_the_seed_decides() {
        let block = block(3000, 1);
        let lists = Lists::build(&block, 7, &Deadline::none()).unwrap();
        assert!(!lists.is_empty());
        assert_eq!(lists, Lists::build(&block, 7, &Deadline::none()).unwrap());
        assert_ne!(lists, Lists::build(&block, 8, &Deadline::none()).unwrap());
        let product = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let mut seen = vec![false; 3000];
        for list in 0..lists.len() {
            for &row in &lists.rows()[lists.slots(list)] {
                assert!(!std::mem::replace(&mut seen[row as usize], true));
                let numbers = block.numbers(row as usize..row as usize + 1);
                let own = product(numbers, &lists.centroids()[list * 8..list * 8 + 8]);
                let best = lists
                    .centroids()
                    .chunks_exact(8)
                    .map(|middle| product(numbers, middle))
                    .fold(-2.0, f64::max);
                assert!(best - own < 1e-5, "row {row}: {own} in list {list}, {best} elsewhere");
            }
        }
        assert!(seen.into_iter().all(|seen| seen));
        assert!(lists.reach().is_sorted_by(|a, b| a.probes < b.probes && a.of_ten <= b.of_ten));
        let probes = lists.probes_for(10, 0.99).unwrap();
        assert!(probes > 1 && probes * SHARE <= lists.len(), "{probes} of {}", lists.len());
        assert!(lists.probes_for(101, 0.5).is_none(), "nothing is known of more than a hundred");
    }

    #[test]
    fn what_has_no_clusters_has_no_lists() {
        let mut rng = Rng::new(5);
        let dimension = 64;
        // Sums of twelve are close to Gaussian.
        let mut gaussian = || (0..12).map(|_| rng.unit_f64()).sum::<f64>() - 6.0;
        let values: Vec<f64> = (0..3000 * dimension).map(|_| gaussian()).collect();
        let lists = Lists::build(&VectorBlock::of_rows(&values, dimension), 1, &Deadline::none()).unwrap();
        assert!(lists.is_empty());
        let bytes = lists.encode();
        assert_eq!(Lists::decode(&bytes, dimension, 3000).unwrap(), lists);
    }

    #[test]
    fn what_is_encoded_decodes_and_no_damage_panics() {
        let lists = Lists::build(&block(1000, 2), 3, &Deadline::none()).unwrap();
        let bytes = lists.encode();
        assert_eq!(Lists::decode(&bytes, 8, 1000).unwrap(), lists);
        assert!(Lists::decode(&bytes, 8, 999).is_err());
        assert!(Lists::decode(&bytes, 7, 1000).is_err());
        for len in 0..bytes.len() {
            assert!(Lists::decode(&bytes[..len], 8, 1000).is_err(), "cut at {len}");
        }
        let mut rng = Rng::new(4);
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            damaged[at] ^= 1 << rng.below(8);
            if let Ok(found) = Lists::decode(&damaged, 8, 1000) {
                assert_eq!(found.encode(), damaged, "it reads what would be written");
            }
        }
    }
}
