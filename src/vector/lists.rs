//! Inverted lists: rows of a [`VectorBlock`] that have about the same direction stand
//! together, so that a query looks at the lists whose middle is most like it and leaves
//! the rest out.
//!
//! The middles come from spherical k-means (Dhillon and Modha, "Concept decompositions
//! for large sparse text data using clustering", 2001) over a sample, the lists from
//! assigning each row to the middle most like it (the inverted file of Jégou, Douze and
//! Schmid, "Product quantization for nearest neighbor search", 2011, without the
//! quantization). Which lists must be probed is measured, not guessed: some rows are taken
//! for queries, and it is noted where their true neighbours are ([`Reach`]).

use crate::base::{Deadline, Result, Rng};
use crate::format::{Reader, put_varint};
use crate::kernels::{GROUP, Instructions, group_dots, interleave};

use super::VectorBlock;
use super::cells::{Cells, distance_of};
use super::nearest::Nearest;

/// Most lists of a series in a segment.
const LISTS_MAX: usize = 4096;
/// Rows of the sample for each list.
const SAMPLE_A_LIST: usize = 32;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Rows that are taken for queries to measure the reach.
const QUERIES: usize = 512;
/// Numbers of neighbours of a query of which the reach is measured.
const NEIGHBOURS: [usize; RANKS] = [1, 10, 100];
const RANKS: usize = 3;
/// Steps of the reach.
const STEPS: usize = 40;
/// Of so many queries one has neighbours that are less near than usual.
const UNUSUAL: usize = 50;
/// Where a query looks at more than one row of so many, looking at all of them is as fast.
const SHARE: usize = 4;
/// Rows or middles that are multiplied at a time.
const STRETCH: usize = 256;

/// The part of the true neighbours of a query that is found where lists are left out whose cells
/// are farther than `part` of the distance of what is sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// From 0, where one list is left, to 1, where no neighbour is missed.
    pub part: f32,
    /// Of the nearest, of the 10 and of the 100 nearest: the mean over the queries less twice its
    /// standard error.
    pub recalls: [f32; RANKS],
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
    /// Ascending by part.
    reach: Vec<Reach>,
    /// The product with the last of so many neighbours that most queries exceed.
    usual: [f32; RANKS],
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
            usual: [-1.0; RANKS],
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
        let measured = measure(block, &centroids, &list_of, &mut rng, deadline)?;
        if measured.looked_at * SHARE > rows {
            return Ok(none());
        }
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
        let Measured { reach, usual, .. } = measured;
        Ok(Self { dimension, centroids, starts, rows: sorted, reach, usual })
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

    /// Lists in which part of the distance of what is sought hold `recall` of the nearest `limit`
    /// rows, as was measured; `None` where nobody knows.
    pub fn part_for(&self, limit: usize, recall: f64) -> Option<f32> {
        let rank = rank_of(limit)?;
        self.reach.iter().find(|reach| f64::from(reach.recalls[rank]) >= recall).map(|reach| reach.part)
    }

    /// What the product with the last of `limit` neighbours usually exceeds. Of a query with
    /// less the measure says little: it is unlike the rows, or its neighbours are not selected.
    pub fn usual_for(&self, limit: usize) -> f32 {
        self.usual[rank_of(limit).unwrap_or(RANKS - 1)]
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
            for number in std::iter::once(reach.part).chain(reach.recalls) {
                out.extend_from_slice(&number.to_le_bytes());
            }
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
        let usual = read_ranks(&mut reader)?;
        if usual.iter().any(|product| !(-2.0..=2.0).contains(product)) {
            return Err(reader.error(format_args!("usual products of {usual:?}")));
        }
        let mut reach: Vec<Reach> = Vec::new();
        for _ in 0..steps {
            let part = f32::from_bits(reader.u32()?);
            let recalls = read_ranks(&mut reader)?;
            let ascends = reach.last().map_or(0.0, |last| last.part) < part;
            if !ascends || part > 1.0 || !recalls.iter().all(|recall| (0.0..=1.0).contains(recall)) {
                return Err(reader.error(format_args!("a reach of {recalls:?} with the part {part}")));
            }
            reach.push(Reach { part, recalls });
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

fn read_ranks(reader: &mut Reader<'_>) -> Result<[f32; RANKS]> {
    let mut numbers = [0.0; RANKS];
    for number in &mut numbers {
        *number = f32::from_bits(reader.u32()?);
    }
    Ok(numbers)
}

/// Which of [`NEIGHBOURS`] tells of so many.
fn rank_of(limit: usize) -> Option<usize> {
    NEIGHBOURS.iter().position(|&neighbours| limit <= neighbours)
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

/// What is known of lists.
struct Measured {
    reach: Vec<Reach>,
    usual: [f32; RANKS],
    /// Rows that a query looks at, on average, to find nine of its ten neighbours in ten.
    looked_at: usize,
}

/// A row that was taken for a query.
struct Asked {
    /// Its product with each middle.
    promises: Vec<f32>,
    /// Its products with its neighbours, best first, and the lists of these.
    neighbours: Vec<(f32, usize)>,
}

impl Asked {
    fn cells<'a>(&'a self, centroids: &'a [f32], dimension: usize) -> Cells<'a> {
        Cells::new(centroids, dimension, &self.promises)
    }

    /// The product with the last of so many neighbours.
    fn last_of(&self, neighbours: usize) -> f32 {
        self.neighbours.get(neighbours - 1).or(self.neighbours.last()).map_or(-1.0, |(product, _)| *product)
    }
}

/// Looks where the true neighbours of some rows are.
fn measure(
    block: &VectorBlock,
    centroids: &[f32],
    list_of: &[u32],
    rng: &mut Rng,
    deadline: &Deadline,
) -> Result<Measured> {
    let (rows, dimension) = (block.rows(), block.dimension());
    let queries = ask(block, centroids, list_of, rng, deadline)?;
    // The least part with which each of so many neighbours of each query is found.
    let needed = |neighbours: usize| -> Vec<Vec<f32>> {
        let of = |asked: &Asked| {
            let (cells, sought) = (asked.cells(centroids, dimension), distance_of(asked.last_of(neighbours)));
            let found = asked.neighbours.iter().take(neighbours);
            found.map(|&(_, list)| cells.distance(list) / sought).collect()
        };
        queries.iter().map(of).collect()
    };
    let needed = NEIGHBOURS.map(needed);
    let mut reach: Vec<Reach> = Vec::new();
    for step in 1..=STEPS {
        let part = step as f32 / STEPS as f32;
        let recalls = [0, 1, 2].map(|rank: usize| {
            let is_found = |needed: &&f32| **needed <= part;
            let recall = |needed: &Vec<f32>| {
                needed.iter().filter(is_found).count() as f64 / needed.len().max(1) as f64
            };
            mean_at_least(&needed[rank].iter().map(recall).collect::<Vec<_>>())
        });
        reach.push(Reach { part, recalls });
        if recalls == [1.0; RANKS] {
            break;
        }
    }
    let part = reach.iter().find(|reach| reach.recalls[1] >= 0.9).map_or(1.0, |reach| reach.part);
    let mut sizes = vec![0_usize; centroids.len() / dimension];
    for &list in list_of {
        sizes[list as usize] += 1;
    }
    let mut looked_at = 0;
    for asked in &queries {
        deadline.check()?;
        let (cells, sought) = (asked.cells(centroids, dimension), distance_of(asked.last_of(10)));
        let is_near = |list: &usize| cells.distance(*list) <= part * sought;
        looked_at += (0..sizes.len()).filter(is_near).map(|list| sizes[list]).sum::<usize>();
    }
    let usual = NEIGHBOURS.map(|neighbours| {
        let mut lasts: Vec<f32> = queries.iter().map(|asked| asked.last_of(neighbours)).collect();
        lasts.sort_unstable_by(f32::total_cmp);
        lasts.get(lasts.len() / UNUSUAL).copied().unwrap_or(-1.0)
    });
    let looked_at = looked_at.checked_div(queries.len()).unwrap_or(rows);
    Ok(Measured { reach, usual, looked_at })
}

/// Takes some rows for queries, and finds their neighbours. Those in the order of the segment do
/// not count: windows that overlap the query would make it too easy.
fn ask(
    block: &VectorBlock,
    centroids: &[f32],
    list_of: &[u32],
    rng: &mut Rng,
    deadline: &Deadline,
) -> Result<Vec<Asked>> {
    let (rows, dimension) = (block.rows(), block.dimension());
    let instructions = Instructions::best();
    let zone = dimension.min(rows / 64);
    let wanted = NEIGHBOURS[RANKS - 1];
    let mut all_asked = Vec::with_capacity(QUERIES);
    let mut scores = vec![[0.0; GROUP]; STRETCH.max(centroids.len() / dimension)];
    // Who asks has a direction.
    let mut queries = pick(rows, QUERIES, rng);
    queries.retain(|&row| block.numbers(row..row + 1).iter().any(|number| *number != 0.0));
    for queries in queries.chunks(GROUP) {
        let group = interleave(queries.iter().map(|&row| block.numbers(row..row + 1)), dimension);
        let mut nearest = vec![Nearest::new(wanted, 0.0, -2.0, usize::MAX); queries.len()];
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
        let scores = &mut scores[..centroids.len() / dimension];
        group_dots(instructions, &group, centroids, scores);
        for (lane, nearest) in nearest.into_iter().enumerate() {
            let found = nearest.into_sorted().unwrap_or_default().0.into_iter().take(wanted);
            all_asked.push(Asked {
                promises: scores.iter().map(|lanes| lanes[lane]).collect(),
                neighbours: found.map(|(product, row)| (product as f32, list_of[row] as usize)).collect(),
            });
        }
    }
    Ok(all_asked)
}

/// The mean of some parts less twice its standard error.
fn mean_at_least(parts: &[f64]) -> f32 {
    let n = parts.len().max(1) as f64;
    let mean = parts.iter().sum::<f64>() / n;
    let variance = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>() / n;
    (mean - 2.0 * (variance / n).sqrt()).clamp(0.0, 1.0) as f32
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
        assert!(lists.reach().is_sorted_by(|a, b| a.part < b.part && a.recalls[1] <= b.recalls[1]));
        let part = lists.part_for(10, 0.99).unwrap();
        assert!(part > 0.0 && part < 1.0, "{part}");
        assert!(lists.part_for(101, 0.5).is_none(), "nothing is known of more than a hundred");
    }

    #[test]
    fn rows_of_zeros_are_no_queries_when_the_reach_is_measured() {
        let mut values = clustered(3000, 8, 60, 1);
        values.chunks_exact_mut(8).step_by(3).for_each(|row| row.fill(0.0));
        let lists = Lists::build(&VectorBlock::of_rows(&values, 8), 7, &Deadline::none()).unwrap();
        assert!(lists.usual_for(10) > 0.5, "{}: zeros have no neighbours", lists.usual_for(10));
        let zeros = VectorBlock::of_rows(&vec![0.0; 3000 * 8], 8);
        assert!(Lists::build(&zeros, 7, &Deadline::none()).unwrap().is_empty());
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
