//! The engine against an ordered map.

use rayon::prelude::*;

use super::*;

/// Operations of each seed.
const OPERATIONS: usize = 10_000;

/// Random operations against an ordered map, with flushes, compactions, restarts,
/// saves, loads and clock jumps between.
///
/// `TSDB_TEST_MODEL_SEEDS` says how many seeds, `TSDB_TEST_SEED` which one alone.
#[test]
fn it_agrees_with_an_ordered_map() {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match number("TSDB_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TSDB_TEST_MODEL_SEEDS").unwrap_or(50)).collect(),
    };
    println!("operations against the model: {}", seeds.len() * OPERATIONS);
    let run = |seed| {
        let _said = SeedOfPanic(seed);
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new();
        let clock = Arc::new(ManualClock::new(1_000_000));
        let mut engine = open(&disk, &clock).unwrap();
        let mut model = Content::new();
        let mut saved: Option<Content> = None;
        let mut assigned: BTreeMap<String, i64> = BTreeMap::new();
        for step in 0..OPERATIONS {
            let series = ["a", "b", "c", "d"][rng.below(4) as usize].to_owned();
            let labels = set(["", "x", "y"][rng.below(3) as usize]);
            let timestamp = rng.below(500) as i64;
            match rng.below(100) {
                0..4 => {
                    let created = create(&engine, &series, 1).is_ok();
                    assert_eq!(created, !model.contains_key(&series), "step {step}");
                    if created {
                        assigned.remove(&series);
                        model.insert(series, BTreeMap::new());
                    }
                }
                4..60 => {
                    let value = rng.unit_f64();
                    let done = insert(&engine, &series, Some(timestamp), value, &labels);
                    match model.get_mut(&series) {
                        Some(points) => {
                            done.unwrap();
                            points.insert((timestamp, labels), value);
                        }
                        None => assert_eq!(done.unwrap_err().code(), ErrorCode::SeriesNotFound),
                    }
                }
                60..66 => {
                    clock.set(1_000_000 + rng.below(3000) as i64);
                    let Some(points) = model.get_mut(&series) else { continue };
                    let Ok(Written::Inserted { first_ns, .. }) = insert(&engine, &series, None, 1.0, &labels)
                    else {
                        panic!("an insert failed")
                    };
                    let last = assigned.insert(series, first_ns);
                    assert!(last.is_none_or(|last| first_ns > last), "assigned {first_ns} after {last:?}");
                    points.insert((first_ns, labels), 1.0);
                }
                66..74 => {
                    let Some(points) = model.get_mut(&series) else { continue };
                    let mut batch = Points { dimension: 1, ..Points::default() };
                    batch.label_sets = vec![set(""), set("x"), set("y")];
                    for _ in 0..=rng.below(40) {
                        let (t, id, value) = (rng.below(500) as i64, rng.below(3) as u32, rng.unit_f64());
                        batch.timestamps_ns.push(t);
                        batch.label_ids.push(id);
                        batch.values.push(value);
                        points.insert((t, batch.label_sets[id as usize].clone()), value);
                    }
                    engine.write(Write::Insert { series: name(&series), points: batch }).unwrap();
                }
                74..80 => {
                    let Some(points) = model.get_mut(&series) else { continue };
                    let range = TimeRange::new(timestamp, timestamp + rng.below(80) as i64).unwrap();
                    let filter = LabelFilter::new(labels);
                    let before = points.len();
                    points.retain(|(t, l), _| !(range.contains(*t) && filter.matches(l)));
                    let write = Write::DeleteRange { series: name(&series), range, labels: filter };
                    let deleted = (before - points.len()) as u64;
                    assert_eq!(engine.write(write).unwrap(), Written::Deleted { deleted }, "step {step}");
                }
                80 => {
                    let done = engine.write(Write::Drop { name: name(&series) });
                    assert_eq!(done.is_ok(), model.remove(&series).is_some());
                }
                81..85 => drop(engine.flush().unwrap()),
                85..88 => drop(engine.compact().unwrap()),
                88 => {
                    engine.save("s.snap", &Deadline::none()).unwrap();
                    saved = Some(model.clone());
                }
                89 => {
                    engine.save("s.json", &Deadline::none()).unwrap();
                    engine.load("s.json", &Deadline::none()).unwrap();
                    assigned.clear();
                }
                90 if rng.one_in(3) => {
                    if let Some(saved) = &saved {
                        engine.load("s.snap", &Deadline::none()).unwrap();
                        model = saved.clone();
                        assigned.clear();
                    }
                }
                91..93 => {
                    drop(engine);
                    engine = open(&disk, &clock).unwrap();
                }
                93 => {
                    drop(engine);
                    disk = disk.crash(Crash::KeepSome, rng.next_u64());
                    engine = open(&disk, &clock).unwrap();
                }
                _ => {
                    let Some(points) = model.get(&series) else { continue };
                    let range = TimeRange::new(timestamp, timestamp + rng.below(100) as i64).unwrap();
                    let filter = LabelFilter::new(labels);
                    let limit = 1 + rng.below(30) as usize;
                    let mut expected: Vec<(i64, f64)> = points
                        .iter()
                        .filter(|((t, l), _)| range.contains(*t) && filter.matches(l))
                        .map(|((t, _), value)| (*t, *value))
                        .collect();
                    let mut next = Some(range.start_ns);
                    while let Some(start_ns) = next {
                        let range = TimeRange { start_ns, ..range };
                        let labels = filter.clone();
                        let query = Query { series: name(&series), range, labels, limit };
                        let page = engine.query(&query, &Deadline::none()).unwrap();
                        let n = page.rows.len();
                        assert!(page.next_start_ns.is_none() || n >= limit);
                        let rest = expected.split_off(n);
                        let found: Vec<_> =
                            page.rows.timestamps_ns.iter().copied().zip(page.rows.values.clone()).collect();
                        assert_eq!(found, expected, "step {step}");
                        expected = rest;
                        next = page.next_start_ns;
                        assert_eq!(next, expected.first().map(|first| first.0));
                    }
                }
            }
            if step % 100 == 0 {
                assert_eq!(content(&engine), model, "step {step}");
            }
        }
        assert_eq!(content(&engine), model);
    };
    on_all_processors(|| seeds.into_par_iter().for_each(run));
}
