//! Similarity of points, against a scan of all of them.

use super::*;
use crate::vector::{Match, Search, Target};

/// What every answer must be: each point that readers see, scored in double precision.
pub(super) fn by_scanning(engine: &Engine, query: &Query, vector: &[f64], wanted: &PointQuery) -> Vec<Match> {
    let mut search = Search::new(vector, vector.len(), wanted.limit, wanted.threshold).unwrap();
    let mut scan = engine.scan(query.clone()).unwrap();
    while let Some(Page { rows, .. }) = scan.next_page(&Deadline::none()).unwrap() {
        search.push(&rows);
    }
    search.finish()
}

fn random_values(rng: &mut Rng, dimension: usize, kind: u64) -> Vec<f64> {
    let scale = match rng.below(12) {
        0 => 0.0,
        1 => 1e300,
        2 => 1e-300,
        3 => 5e-324,
        _ => 1.0,
    };
    (0..dimension)
        .map(|at| match kind {
            // Many equals.
            0 => (rng.below(3) as f64 - 1.0) * scale,
            // Nearly equals: single precision can't tell them apart.
            1 => (1.0 + at as f64 + rng.unit_f64() * 1e-8) * scale.max(1e-300),
            _ => (rng.unit_f64() - 0.5) * scale,
        })
        .collect()
}

fn one_run(seed: u64) -> (u64, u64) {
    let _seed = SeedOfPanic(seed);
    let mut rng = Rng::new(seed);
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let options =
        Options { shards: 1, buffer_points: if seed.is_multiple_of(2) { 150 } else { 400 }, ..options() };
    let engine = Engine::open_with(Arc::new(disk), clock, options).unwrap();
    let dimension = [1, 2, 3, 8, 17][rng.below(5) as usize];
    let value_type = if rng.one_in(3) { ValueType::F32 } else { ValueType::F64 };
    let create = Write::Create { name: name("v"), dimension, value_type, if_not_exists: false };
    engine.write(create).unwrap();
    let dimension = dimension as usize;
    let kind = rng.below(3);
    let times = 50 + rng.below(900);
    let mut asked = (0, 0);
    for step in 0..30 {
        if rng.one_in(6) {
            let start = rng.below(times) as i64;
            let range = TimeRange::new(start, start + rng.below(times / 4) as i64).unwrap();
            let labels = LabelFilter::new(if rng.one_in(2) { set("") } else { set("a") });
            engine.write(Write::DeleteRange { series: name("v"), range, labels }).unwrap();
        }
        if rng.one_in(10) {
            engine.flush().unwrap();
        }
        if rng.one_in(10) {
            engine.compact().unwrap();
        }
        let mut points = Points { dimension, ..Points::default() };
        points.label_sets = vec![set(""), set("a"), set("b")];
        // In the order of time, as most are, or anyhow.
        let start = (step * times / 30) as i64;
        for at in 0..40 {
            let timestamp = if kind == 2 { rng.below(times) as i64 } else { start + at };
            points.timestamps_ns.push(timestamp);
            points.label_ids.push(rng.below(3) as u32);
            let mut values = random_values(&mut rng, dimension, kind);
            if value_type == ValueType::F32 {
                for value in &mut values {
                    *value = f64::from(value.clamp(-1e38, 1e38) as f32);
                }
            }
            points.values.extend(values);
        }
        engine.write(Write::Insert { series: name("v"), points }).unwrap();
        if step % 3 != 2 {
            continue;
        }
        let range = if rng.one_in(2) {
            TimeRange::ALL
        } else {
            let start = rng.below(times) as i64;
            TimeRange::new(start, start + rng.below(times) as i64).unwrap()
        };
        let labels = LabelFilter::new([set(""), set("a"), set("c")][rng.below(3) as usize].clone());
        let query = Query { series: name("v"), range, labels: labels.clone(), limit: usize::MAX };
        let vectors: Vec<Vec<f64>> = (0..=rng.below(40))
            .map(|_| {
                let mut vector = random_values(&mut rng, dimension, kind);
                vector[0] += if vector.iter().all(|&value| value == 0.0) { 1.0 } else { 0.0 };
                vector
            })
            .collect();
        let wanted: Vec<PointQuery> = vectors
            .iter()
            .map(|vector| PointQuery {
                target: Target::direction(vector, dimension).unwrap(),
                limit: [1, 2, 5, 60][rng.below(4) as usize],
                threshold: if rng.one_in(3) { rng.unit_f64() * 1.1 - 0.1 } else { -1.0 },
                recall: None,
            })
            .collect();
        let found = engine.find_points(&name("v"), (range, &labels), &wanted, &Deadline::none()).unwrap();
        assert_eq!(found.len(), wanted.len());
        for ((found, wanted), vector) in found.iter().zip(&wanted).zip(&vectors) {
            let expected = by_scanning(&engine, &query, vector, wanted);
            assert_eq!(found.matches, expected, "seed {seed}, step {step}, {wanted:?}");
            let same = found.matches.iter().zip(&expected);
            assert!(same.into_iter().all(|(a, b)| a.similarity.to_bits() == b.similarity.to_bits()));
            asked.0 += 1;
        }
        asked.1 += u64::from(engine.counters().vector_bytes > 0);
    }
    asked
}

#[test]
fn an_exact_answer_is_that_of_a_scan_bit_by_bit() {
    let seeds = match std::env::var("TSDB_TEST_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => 0..40,
    };
    let (mut queries, mut with_vectors) = (0, 0);
    for seed in seeds {
        let asked = one_run(seed);
        queries += asked.0;
        with_vectors += asked.1;
    }
    println!("{queries} queries, {with_vectors} times with vectors of segments");
    assert!(with_vectors > 0, "no run had vectors in memory");
}

/// Vectors leave the cache with their segments, and do not take more than their share.
#[test]
fn vectors_take_a_bounded_part_of_the_memory() {
    let clock = Arc::new(ManualClock::new(5));
    let options = Options { memory_limit_bytes: 16 << 20, buffer_points: 100_000, ..options() };
    let engine = Engine::open_with(Arc::new(SimDisk::new()), clock, options).unwrap();
    let share = crate::base::MemoryShares::of(16 << 20).blocks / 2;
    let mut rng = Rng::new(3);
    let ask = |series: &str| {
        let query = PointQuery {
            target: Target::direction(&[1.0; 16], 16).unwrap(),
            limit: 3,
            threshold: -1.0,
            recall: None,
        };
        let everywhere = (TimeRange::ALL, &LabelFilter::any());
        engine.find_points(&name(series), everywhere, &[query], &Deadline::none()).unwrap()
    };
    for at in 0..6 {
        let series = format!("s{at}");
        create(&engine, &series, 16).unwrap();
        let points = Points {
            dimension: 16,
            timestamps_ns: (0..9000).collect(),
            values: (0..9000 * 16).map(|_| rng.unit_f64()).collect(),
            ..Points::default()
        };
        engine.write(Write::Insert { series: name(&series), points }).unwrap();
        engine.flush().unwrap();
        assert_eq!(ask(&series)[0].matches.len(), 3);
        let bytes = engine.counters().vector_bytes;
        assert!(bytes > 0 && bytes <= share, "{bytes} bytes of {share}");
    }
    for at in 0..6 {
        engine.write(Write::Drop { name: name(&format!("s{at}")) }).unwrap();
    }
    create(&engine, "other", 1).unwrap();
    for _ in 0..8 {
        insert(&engine, "other", None, 1.0, &Labels::empty()).unwrap();
        engine.flush().unwrap();
    }
    while engine.compact().unwrap() > 0 {}
    assert_eq!(engine.counters().vector_bytes, 0);
}
