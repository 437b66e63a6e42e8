//! The limits of series and label sets: exact, atomic, and remembered by nothing but
//! the data.

use super::*;

fn limited() -> Options {
    Options { series_max: 3, label_sets_max: 8, label_sets_of_series_max: 5, ..options() }
}

fn open_limited(disk: &SimDisk, clock: &Arc<ManualClock>) -> Engine {
    Engine::open_with(Arc::new(disk.clone()), clock.clone(), limited()).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T>, setting: &str) {
    let e = result.unwrap_err();
    assert_eq!(e.code(), ErrorCode::LimitExceeded, "{e}");
    assert!(e.message().contains(setting), "{e}");
}

fn insert_sets(engine: &Engine, series: &str, sets: &[&str]) -> Result<Written> {
    let points = Points {
        dimension: 1,
        timestamps_ns: (0..sets.len() as i64).collect(),
        values: vec![1.0; sets.len()],
        label_ids: (0..sets.len() as u32).collect(),
        label_sets: sets.iter().map(|text| set(text)).collect(),
        ..Points::default()
    };
    engine.write(Write::Insert { series: name(series), points })
}

fn counted(engine: &Engine) -> (u64, u64) {
    let counters = engine.counters();
    (counters.series, counters.label_sets)
}

#[test]
fn what_is_too_much_is_refused_whole_and_the_rest_goes_on() {
    let (disk, clock) = (SimDisk::new(), Arc::new(ManualClock::new(1)));
    let mut engine = open_limited(&disk, &clock);
    for series in ["a", "b", "c"] {
        create(&engine, series, 1).unwrap();
    }
    refused(create(&engine, "d", 1), "TSDB_MAX_SERIES=3");
    insert_sets(&engine, "a", &["", "1", "2", "3"]).unwrap();
    refused(insert_sets(&engine, "a", &["1", "4", "5"]), "TSDB_MAX_LABEL_SETS_PER_SERIES=5");
    insert_sets(&engine, "a", &["4", "4"]).unwrap();
    insert_sets(&engine, "b", &["1", "2"]).unwrap();
    refused(insert_sets(&engine, "c", &["1", "2"]), "TSDB_MAX_LABEL_SETS=8");
    insert_sets(&engine, "c", &["1"]).unwrap();
    for round in 0..4 {
        assert_eq!(counted(&engine), (3, 8), "round {round}");
        assert_eq!(engine.totals(&Deadline::none()).unwrap().label_sets, 8);
        refused(insert(&engine, "b", Some(9), 1.0, &set("9")), "TSDB_MAX_LABEL_SETS=8");
        for (series, labels) in [("a", ""), ("a", "4"), ("b", "2"), ("c", "1")] {
            insert(&engine, series, Some(round), 1.0, &set(labels)).unwrap();
        }
        // Counted from logs, then from segments, then from both.
        match round {
            0 => {}
            1 => drop(engine.flush().unwrap()),
            _ => drop(engine.compact().unwrap()),
        }
        engine.close().unwrap();
        engine = open_limited(&disk, &clock);
    }
    // Nothing of what was refused is there, and it was all or nothing.
    let found = content(&engine);
    assert_eq!(found["a"].keys().filter(|(_, labels)| *labels == set("5")).count(), 0);
    assert_eq!(found["c"].keys().filter(|(_, labels)| *labels == set("2")).count(), 0);

    engine.write(Write::Drop { name: name("a") }).unwrap();
    assert_eq!(counted(&engine), (2, 3));
    create(&engine, "d", 1).unwrap();
    insert_sets(&engine, "d", &["1", "2", "3", "4", "5"]).unwrap();
    assert_eq!(counted(&engine), (3, 8));
    // What is stored opens with a smaller limit, and takes what it knows.
    engine.close().unwrap();
    let smaller = Options { label_sets_max: 1, label_sets_of_series_max: 1, series_max: 1, ..options() };
    let engine = Engine::open_with(Arc::new(disk.clone()), clock.clone(), smaller).unwrap();
    assert_eq!(counted(&engine), (3, 8));
    insert_sets(&engine, "d", &["1", "5"]).unwrap();
    refused(insert_sets(&engine, "d", &["6"]), "PER_SERIES=1");
    // A snapshot with more than the limits is not loaded, and nothing changes.
    engine.save("all", &Deadline::none()).unwrap();
    let before = content(&engine);
    refused(engine.load("all", &Deadline::none()), "TSDB_MAX_");
    assert_eq!((content(&engine), counted(&engine)), (before, (3, 8)));
    engine.close().unwrap();
    let engine = open_limited(&disk, &clock);
    engine.load("all", &Deadline::none()).unwrap();
    assert_eq!(counted(&engine), (3, 8));
}

#[test]
fn a_label_set_without_points_gives_its_room_back_once_it_is_compacted_away() {
    let (disk, clock) = (SimDisk::new(), Arc::new(ManualClock::new(1)));
    let engine = open_limited(&disk, &clock);
    create(&engine, "a", 1).unwrap();
    let delete = |labels: &str| {
        let labels = LabelFilter::new(set(labels));
        engine.write(Write::DeleteRange { series: name("a"), range: TimeRange::ALL, labels }).unwrap();
    };
    // Deleted while all is in memory: gone at the flush, which the next write notices.
    insert_sets(&engine, "a", &["1", "2", "3"]).unwrap();
    delete("1");
    engine.flush().unwrap();
    insert_sets(&engine, "a", &["3"]).unwrap();
    assert_eq!(counted(&engine), (1, 2));
    // Deleted from segments: gone at their compaction. One that was written again stays.
    for round in 0..40 {
        for labels in ["2", "3", "4"] {
            insert(&engine, "a", Some(round), 1.0, &set(labels)).unwrap();
        }
        if round == 20 {
            delete("2");
            delete("3");
            insert(&engine, "a", Some(0), 1.0, &set("3")).unwrap();
        }
        engine.flush().unwrap();
    }
    assert_eq!(counted(&engine), (1, 3));
    delete("2");
    engine.flush().unwrap();
    let mut round = 100;
    while engine.compact().unwrap() > 0 || round < 140 {
        insert(&engine, "a", Some(round), 1.0, &set("4")).unwrap();
        engine.flush().unwrap();
        round += 1;
    }
    let found = content(&engine);
    let sets: std::collections::BTreeSet<_> = found["a"].keys().map(|(_, labels)| labels.clone()).collect();
    assert_eq!(sets, [set("3"), set("4")].into());
    assert_eq!(counted(&engine), (1, 2));
    engine.close().unwrap();
    assert_eq!(counted(&open_limited(&disk, &clock)), (1, 2));
}

#[test]
fn a_series_made_and_filled_in_one_frame_counts_once() {
    // With threads, and a first write that holds the others up, frames have many writes.
    let temp = tempfile::tempdir().unwrap();
    let options = Options { shards: 1, label_sets_max: 1000, ..Options::new(temp.path()) };
    let engine = Engine::open(options.clone()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    for round in 0..50 {
        let submit = |write: Write| {
            let sender = sender.clone();
            engine.submit(write, move |done| sender.send(done).unwrap());
        };
        let make = || Write::Create {
            name: name("s"),
            dimension: 1,
            value_type: ValueType::F64,
            if_not_exists: false,
        };
        let point = |labels: Labels| Write::Insert {
            series: name("s"),
            points: Points::one(Some(1), vec![1.0], labels),
        };
        submit(make());
        submit(point(set("first")));
        submit(Write::Drop { name: name("s") });
        submit(make());
        submit(point(set("second")));
        submit(point(Labels::empty()));
        if round < 49 {
            submit(Write::Drop { name: name("s") });
        }
    }
    drop(sender);
    assert_eq!(receiver.iter().flatten().count(), 50 * 7 - 1);
    assert_eq!(counted(&engine), (1, 2));
    engine.close().unwrap();
    let engine = Engine::open(options).unwrap();
    assert_eq!(counted(&engine), (1, 2));
    insert(&engine, "s", Some(2), 1.0, &set("second")).unwrap();
    assert_eq!(counted(&engine), (1, 2));
}
