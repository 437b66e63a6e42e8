//! Files whose bytes have changed.

use super::*;

#[test]
fn damage_is_refused_or_served_around() {
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::new(5));
    let engine = open(&disk, &clock).unwrap();
    create(&engine, "s", 1).unwrap();
    let other = ["a", "b", "c", "d"]
        .into_iter()
        .find(|other| crate::format::shard_of(other, 3) != crate::format::shard_of("s", 3));
    let other = other.expect("four names do not all share one of three shards");
    create(&engine, other, 1).unwrap();
    insert(&engine, other, Some(1), 2.0, &Labels::empty()).unwrap();
    batch(&engine, 0, 50).unwrap();
    engine.flush().unwrap();
    batch(&engine, 1000, 50).unwrap();
    let shard = crate::format::shard_of("s", 3);
    drop(engine);
    let dir = Path::new("/data/gen-0000000001").join(crate::format::shard_name(shard));
    let segment = disk.list(&dir).unwrap().into_iter().find(|entry| entry.name.ends_with(".seg")).unwrap();
    let path = dir.join(&segment.name);
    let file = disk.open_write(&path).unwrap();
    file.write_all_at(&[0xee], segment.metadata.len - 5).unwrap();
    let error = open(&disk, &clock).err().unwrap();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert!(error.message().contains(&segment.name), "{error}");

    let degraded = Options { recover: Recover::Degraded, ..options() };
    for _ in 0..2 {
        let engine = Engine::open_with(Arc::new(disk.clone()), clock.clone(), degraded.clone()).unwrap();
        let query = |series: &str, range| {
            let query = Query { series: name(series), range, labels: LabelFilter::any(), limit: usize::MAX };
            engine.query(&query, &Deadline::none()).map(|page| page.rows.len())
        };
        assert_eq!(query(other, TimeRange::ALL).unwrap(), 1);
        assert_eq!(query("s", TimeRange::ALL).unwrap_err().code(), ErrorCode::CorruptData);
        assert_eq!(query("s", TimeRange::new(500, 5000).unwrap()).unwrap(), 50, "the time that is whole");
        assert_eq!(engine.counters().damaged_files, 1);
    }
    let quarantined = disk.list(Path::new("/data/quarantine")).unwrap();
    assert_eq!(quarantined.len(), 2, "the file and its reason: {quarantined:?}");
}
