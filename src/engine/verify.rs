//! Checks a data directory offline, without changing it: every checksum, the
//! manifests against the files, the logs against each other.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Deadline, Error, Result};
use crate::format::{
    UNFINISHED_SAVE, log_name, parse_log_name, parse_segment_name, parse_vectors_name, shard_name,
};
use crate::manifest::{CurrentRecord, Database, FileManifestStore, Manifest, ManifestStore, read_watches};
use crate::memtable::Memtable;
use crate::query::count_points;
use crate::segments::{BlockCache, Segment, Sidecar, verify_segment};
use crate::vector::Lists;
use crate::vfs::{FileKind, FileReader, Vfs};
use crate::wal::{Judgement, read_log_with};

use super::cardinality::Cardinality;
use super::catalog::{Catalog, Series};
use super::journals::Journals;
use super::options::Options;
use super::recovery::{MISSING_LOG, cut_journal, damage_at_end, of_generation};
use super::shard::State;
use super::snapshot_file::{SnapshotItem, read_snapshot};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Files that were read to their end.
    pub files: u64,
    /// Points that a reader would see, where nothing is damaged.
    pub points: u64,
    /// What is damaged, each with its file.
    pub problems: Vec<String>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
}

/// Checks the database in `data_dir`. Nobody may have it open.
pub fn verify(vfs: &Arc<dyn Vfs>, data_dir: &Path) -> Verification {
    let mut found = Verification::default();
    let opened =
        Database::open(vfs.clone(), data_dir).map(|(database, live)| (database, live, 2)).or_else(|e| {
            found.problems.push(e.message().to_owned());
            // What a start would serve that makes the file anew.
            Database::infer(vfs.clone(), data_dir)
                .map(|(database, live, unusable)| (database, live, 2 - unusable.len() as u64))
        });
    if let Ok((database, live, files)) = opened {
        found.files += files;
        match read_watches(vfs.as_ref(), data_dir) {
            Ok(watches) => found.files += u64::from(!watches.is_empty()),
            Err(e) => found.problems.push(e.message().to_owned()),
        }
        verify_generation(vfs, &database, live, &mut found);
    }
    verify_snapshots(vfs.as_ref(), &data_dir.join("snapshots"), &mut found);
    // A journal is looked at for each shard that needs it.
    let mut said = HashSet::new();
    found.problems.retain(|problem| said.insert(problem.clone()));
    found
}

fn verify_generation(vfs: &Arc<dyn Vfs>, database: &Database, live: CurrentRecord, found: &mut Verification) {
    let dir = database.generation_dir(live.generation);
    let journals = match Journals::read(vfs.as_ref(), &dir, live.origin) {
        Ok(journals) => journals,
        Err(e) => return found.problems.push(e.message().to_owned()),
    };
    found.files += journals.count();
    found.problems.extend(journals.damages().map(|(_, damage)| damage.message().to_owned()));
    for number in 0..database.shards() {
        let of = (database.shards(), live.origin);
        verify_shard(vfs, &dir.join(shard_name(number)), number, of, &journals, found);
    }
    found.problems.extend(journals.all_cut().iter().map(|reason| reason.message().to_owned()));
}

fn verify_shard(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    number: u32,
    of: (u32, u64),
    journals: &Journals,
    found: &mut Verification,
) {
    let problems_before = found.problems.len();
    let store = FileManifestStore::new(vfs.clone(), dir, number);
    let manifest = match store.load().and_then(|manifest| of_generation(manifest, of, dir)) {
        Ok(manifest) => manifest,
        Err(e) => {
            found.problems.push(e.message().to_owned());
            return note_unread(vfs.as_ref(), dir, found);
        }
    };
    found.files += 1;
    for loss in &manifest.losses {
        found
            .problems
            .push(format!("{}: given up before, and not accepted as lost yet: {}", loss.file, loss.reason));
    }
    let cache = Arc::new(BlockCache::new(0));
    let cardinality = Arc::new(Cardinality::new(&Options::new(dir), cache.clone()));
    let mut state = State {
        catalog: Catalog::new(cardinality.clone()),
        active: Memtable::default(),
        frozen: Vec::new(),
        segments: Vec::new(),
    };
    for record in &manifest.series {
        match Series::from_record(record) {
            Ok(series) => {
                cardinality.note_series();
                state.catalog.insert(Arc::new(series));
            }
            Err(e) => found.problems.push(format!("{}: {}", dir.display(), e.message())),
        }
    }
    for info in &manifest.segments {
        let checked = verify_segment(vfs.as_ref(), &dir.join(info.file_name()), number, info)
            .and_then(|()| Segment::open(vfs.as_ref(), dir, (number, manifest.origin), info, cache.clone()))
            .and_then(|segment| state.catalog.check_segment(&segment).map(|()| segment));
        match checked {
            Ok(segment) => {
                found.files += 1;
                match verify_index(vfs.as_ref(), dir, &segment) {
                    Ok(files) => found.files += files,
                    Err(e) => {
                        found
                            .notes
                            .push(format!("{}; searches do without, and it is made anew", e.message()));
                    }
                }
                state.segments.push(Arc::new(segment));
            }
            Err(e) => found.problems.push(e.message().to_owned()),
        }
    }
    let names = match vfs.list(dir) {
        Ok(entries) => entries.into_iter().map(|entry| entry.name),
        Err(e) => return found.problems.push(format!("{}: can't be listed: {e}", dir.display())),
    };
    let mut logs = Vec::new();
    for name in names {
        if let Some(first_seq) = parse_log_name(&name) {
            logs.push(first_seq);
        } else if parse_segment_name(&name).is_some()
            && manifest.segments.iter().all(|info| info.file_name() != name)
            || parse_vectors_name(&name)
                .is_some_and(|of| manifest.segments.iter().all(|info| (info.id, info.hash) != of))
            || Path::new(&name).extension().is_some_and(|extension| extension == "tmp")
        {
            let next = if manifest.losses.iter().any(|loss| loss.is_of(&name)) {
                "given up as damaged; the next start moves it to quarantine"
            } else {
                "left by an interrupted flush or compaction; the next start removes it"
            };
            found.notes.push(format!("{}: {next}", dir.join(&name).display()));
        }
    }
    verify_logs(vfs.as_ref(), dir, number, (logs, journals), &manifest, &mut state, found);
    if found.problems.len() > problems_before {
        return;
    }
    let series: Vec<_> = state.catalog.iter().cloned().collect();
    for series in series {
        match count_points(&state.view(&series), &Deadline::none()) {
            Ok(points) => found.points += points,
            Err(e) => found.problems.push(e.message().to_owned()),
        }
    }
}

/// Without its manifest nothing says what the files of a shard must hold.
fn note_unread(vfs: &dyn Vfs, dir: &Path, found: &mut Verification) {
    let is_of_manifest = |name: &str| parse_log_name(name).is_some() || parse_segment_name(name).is_some();
    let unread = vfs.list(dir).map_or(0, |all| all.iter().filter(|one| is_of_manifest(&one.name)).count());
    if unread > 0 {
        found.notes.push(format!(
            "{}: {unread} logs and segments were not read, for only the manifest says what they must hold",
            dir.display()
        ));
    }
}

/// Reads the index of vectors beside a segment, if there is one; says how many files that
/// were.
fn verify_index(vfs: &dyn Vfs, dir: &Path, segment: &Segment) -> Result<u64> {
    let Some(sidecar) = Sidecar::open(vfs, dir, segment.info())? else { return Ok(0) };
    for series_id in sidecar.series_ids() {
        let path = || Sidecar::path_of(dir, segment.info());
        let of_series = segment.index().series(series_id).zip(sidecar.section(series_id)?);
        let (series, section) = of_series.ok_or_else(|| {
            Error::corrupt(format!("{}: series {series_id} is not in the segment", path().display()))
        })?;
        Lists::decode(&section, series.dimension, series.rows() as usize)
            .map_err(|e| e.context(path().display()))?;
    }
    Ok(1)
}

/// The rules are those of recovery: see there for the reasons.
fn verify_logs(
    vfs: &dyn Vfs,
    dir: &Path,
    shard: u32,
    (mut logs, journals): (Vec<u64>, &Journals),
    manifest: &Manifest,
    state: &mut State,
    found: &mut Verification,
) {
    let flushed_seq = manifest.flushed_seq;
    let missing = manifest.newest_log.filter(|newest| !logs.contains(newest));
    logs.extend(missing);
    logs.sort_unstable();
    let mut expected = flushed_seq + 1;
    for (at, &first_seq) in logs.iter().enumerate() {
        let path = dir.join(log_name(first_seq));
        let next_log = logs.get(at + 1).copied();
        let is_flushed = next_log.is_some_and(|next| next <= flushed_seq + 1);
        if missing == Some(first_seq) {
            if !is_flushed {
                found.problems.push(format!("{}: {MISSING_LOG}", path.display()));
            }
            continue;
        }
        if first_seq > expected {
            found.problems.push(format!(
                "{}: begins at record {first_seq}, but record {expected} is in no log and no segment",
                path.display()
            ));
        }
        let patches = journals.patches(shard, first_seq);
        let replay = read_log_with(vfs, dir, (shard, manifest.origin), first_seq, &patches, |seq, record| {
            if seq > flushed_seq {
                state.check_record(&record).map_err(|e| e.context(path.display()))?;
                state.apply(&record, seq);
            }
            Ok(())
        });
        let replay = match replay {
            Ok(replay) => replay,
            Err(e) => {
                found.problems.push(e.message().to_owned());
                continue;
            }
        };
        let ending = replay.ending;
        let place = format!("{}: {} at byte {}", path.display(), ending.problem, ending.offset);
        let damage = damage_at_end(&replay, manifest, journals.promised(shard));
        if let (None, Some(Err(e))) = (next_log, replay.journal.map(|group| journals.check(group))) {
            found.problems.push(e.message().to_owned());
        }
        match (next_log, damage) {
            (None, _) if let Some(group) = cut_journal(&replay, manifest, journals.promised(shard)) => {
                journals.note_cut(group, &path);
            }
            (Some(next), _) if ending.next_seq != next && !is_flushed => {
                found.problems.push(format!("{place}; the next log begins at record {next}"));
            }
            (None, Some(damage)) => found.problems.push(format!("{}: {damage}", path.display())),
            (None, None) if replay.judgement == Judgement::Torn => {
                found.files += 1;
                found.notes.push(format!(
                    "{place}: a torn tail: a write that a crash cut off, unless the file was cut afterwards"
                ));
            }
            _ => found.files += 1,
        }
        expected = expected.max(ending.next_seq);
    }
}

fn verify_snapshots(vfs: &dyn Vfs, dir: &Path, found: &mut Verification) {
    // There need not be any.
    for entry in vfs.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.metadata.kind == FileKind::Dir {
            verify_snapshots(vfs, &path, found);
            continue;
        }
        if entry.name == UNFINISHED_SAVE {
            found
                .notes
                .push(format!("{}: left by an interrupted SAVE; the next start removes it", path.display()));
            continue;
        }
        match verify_snapshot(vfs, &path) {
            Ok((series, points)) => {
                found.files += 1;
                found
                    .notes
                    .push(format!("{}: a snapshot of {points} points in {series} series", path.display()));
            }
            Err(e) => found.problems.push(format!("{}: {}", path.display(), e.message())),
        }
    }
}

fn verify_snapshot(vfs: &dyn Vfs, path: &Path) -> Result<(u64, u64)> {
    let file = vfs.open(path).map_err(|e| Error::unreadable(&e))?;
    let (mut series, mut points) = (0, 0);
    read_snapshot(&mut FileReader::new(file, 0), u64::MAX, |item| {
        match item {
            SnapshotItem::Series(_) => series += 1,
            SnapshotItem::Points(batch) => points += batch.len() as u64,
        }
        Ok(())
    })?;
    Ok((series, points))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Labels, ManualClock, Points, SeriesName, ValueType};
    use crate::engine::{Engine, Options, Write};
    use crate::vfs::{SimDisk, read_all};

    fn sample() -> SimDisk {
        let disk = SimDisk::new();
        let options = Options { shards: 2, background: false, ..Options::new("/data") };
        let engine =
            Engine::open_with(Arc::new(disk.clone()), Arc::new(ManualClock::new(1)), options).unwrap();
        let name = |name: &str| SeriesName::new(name).unwrap();
        for series in ["a", "b", "c"] {
            engine
                .write(Write::Create {
                    name: name(series),
                    dimension: 1,
                    value_type: ValueType::F64,
                    if_not_exists: false,
                })
                .unwrap();
        }
        for at in 0..40 {
            let series = ["a", "b", "c"][at % 3];
            let points = Points::one(Some((at / 6) as i64), vec![at as f64], Labels::empty());
            engine.write(Write::Insert { series: name(series), points }).unwrap();
            if at == 20 {
                engine.flush().unwrap();
                engine.save("s.snap", &Deadline::none()).unwrap();
            }
        }
        engine.close().unwrap();
        disk
    }

    fn check(disk: &SimDisk) -> Verification {
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        verify(&vfs, Path::new("/data"))
    }

    #[test]
    fn a_healthy_directory_has_its_points() {
        let found = check(&sample());
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!(found.points, 3 * 7, "each timestamp twice, the newest wins");
        assert!(found.files >= 7, "{found:?}"); // two records, two manifests, segment, log, snapshot
        assert!(!check(&SimDisk::new()).problems.is_empty());
    }

    #[test]
    fn what_is_below_a_damaged_current_or_database_is_checked_too() {
        for name in ["CURRENT", "DATABASE"] {
            let disk = sample();
            let healthy = check(&disk);
            disk.open_write(&Path::new("/data").join(name)).unwrap().set_len(0).unwrap();
            let found = check(&disk);
            assert!(found.problems.len() == 1 && found.problems[0].contains(name), "{found:?}");
            assert_eq!((found.files, found.points), (healthy.files - 1, healthy.points));
            let segment = (0..2)
                .map(|shard| Path::new("/data/gen-0000000001").join(shard_name(shard)))
                .flat_map(|dir| disk.list(&dir).unwrap().into_iter().map(move |entry| dir.join(entry.name)))
                .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
                .expect("a segment");
            disk.open_write(&segment).unwrap().write_all_at(&[0xff; 8], 60).unwrap();
            let found = check(&disk);
            assert!(found.problems.iter().any(|problem| problem.contains(".seg")), "{found:?}");
        }
    }

    #[test]
    fn files_that_only_a_damaged_manifest_knows_are_told_of() {
        let disk = sample();
        // All series are in the second shard.
        let path = Path::new("/data/gen-0000000001").join(shard_name(1)).join("MANIFEST");
        disk.open_write(&path).unwrap().set_len(10).unwrap();
        let found = check(&disk);
        assert!(found.problems.len() == 1 && found.problems[0].contains("MANIFEST"), "{found:?}");
        assert!(found.notes.iter().any(|note| note.contains("were not read")), "{found:?}");
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let disk = sample();
        let healthy = check(&disk);
        let mut files = Vec::new();
        let mut dirs = vec![Path::new("/data").to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in disk.list(&dir).unwrap() {
                let path = dir.join(&entry.name);
                if entry.metadata.kind == FileKind::Dir { dirs.push(path) } else { files.push(path) }
            }
        }
        let mut checked = 0;
        for path in files {
            let bytes = read_all(&disk, &path, 1 << 24).unwrap();
            // The zeros that a log is filled with ahead of use count for nothing.
            let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            for at in (0..used).step_by(used / 40 + 1) {
                let file = disk.open_write(&path).unwrap();
                file.write_all_at(&[bytes[at] ^ 0x10], at as u64).unwrap();
                let found = check(&disk);
                assert_ne!(found, healthy, "{} byte {at}", path.display());
                file.write_all_at(&bytes[at..=at], at as u64).unwrap();
                checked += 1;
            }
        }
        assert!(checked > 200, "{checked}");
        assert_eq!(check(&disk), healthy);
    }
}
