//! What the fuzzer runs: a function for every decoder and parser, that takes any bytes
//! and asserts what must hold of them, not only that nothing panics.
//!
//! `fuzz/` has the programs that drive these functions with coverage; the test below
//! replays what they found worth keeping. Compiled for tests and under `cfg(fuzzing)`
//! alone. The targets that see private parts of a module are in its own `fuzz.rs`.

mod files;
mod forge;
mod wire;

/// One decoder or parser under fuzz.
pub struct Target {
    /// Its name; `fuzz/corpus/` has a folder of this name.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made by the encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "name", run: files::name, seeds: files::name_seeds },
    Target { name: "record", run: files::record, seeds: files::record_seeds },
    Target { name: "block", run: files::block, seeds: files::block_seeds },
    Target { name: "log", run: files::log, seeds: files::log_seeds },
    Target { name: "segment", run: files::segment, seeds: files::segment_seeds },
    Target { name: "lists", run: files::lists, seeds: files::lists_seeds },
    Target { name: "manifest", run: files::manifest, seeds: files::manifest_seeds },
    Target { name: "snapshot", run: files::snapshot, seeds: files::snapshot_seeds },
    Target { name: "database", run: files::database, seeds: files::database_seeds },
    Target { name: "dump", run: files::dump, seeds: files::database_seeds },
    Target { name: "text", run: wire::text, seeds: wire::text_seeds },
    Target { name: "json", run: wire::json, seeds: wire::json_seeds },
    Target { name: "connection", run: crate::server::fuzz::connection, seeds: crate::server::fuzz::seeds },
    Target { name: "import", run: crate::client::fuzz::import, seeds: crate::client::fuzz::seeds },
];

/// Runs the target of this name.
///
/// # Panics
/// Where there is none, and where the input breaks what the target asserts.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target {name}")).run)(input);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::Rng;
    use crate::vfs::{FileKind, RealDisk, Vfs, read_all};

    /// Most bytes of an input that is kept.
    const INPUT_BYTES_MAX: u64 = 1 << 20;

    /// `TSDB_UPDATE_CORPUS=1` adds the seeds to the corpus first.
    #[test]
    fn the_corpus_breaks_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut total = 0;
        for target in TARGETS {
            let dir = corpus.join(target.name);
            let seeds = (target.seeds)();
            for (at, seed) in seeds.iter().enumerate() {
                if std::env::var_os("TSDB_UPDATE_CORPUS").is_some() {
                    let path = dir.join(format!("seed-{at:02}"));
                    RealDisk.create_dir(&corpus).and_then(|()| RealDisk.create_dir(&dir)).unwrap();
                    let _ = RealDisk.remove(&path);
                    RealDisk.create(&path).unwrap().write_all_at(seed, 0).unwrap();
                }
                (target.run)(seed);
            }
            let files = RealDisk.list(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
            let files: Vec<_> = files.iter().filter(|entry| entry.metadata.kind == FileKind::File).collect();
            assert!(!files.is_empty(), "{} is empty", dir.display());
            for file in &files {
                let path = dir.join(&file.name);
                let input = read_all(&RealDisk, &path, INPUT_BYTES_MAX).unwrap();
                let run = std::panic::catch_unwind(|| (target.run)(&input));
                assert!(run.is_ok(), "{} breaks the target {}", path.display(), target.name);
            }
            println!("{}: {} seeds and {} files", target.name, seeds.len(), files.len());
            total += seeds.len() + files.len();
        }
        println!("fuzz inputs replayed: {total}");
    }

    /// The same without coverage, for compilers that have none: seeds, changed a little.
    /// `TSDB_TEST_FUZZ` says how many changes of each.
    #[test]
    fn changed_seeds_break_nothing() {
        let changes = std::env::var("TSDB_TEST_FUZZ").map_or(10, |changes| changes.parse().unwrap());
        let mut total = 0;
        for target in TARGETS {
            let seeds = (target.seeds)();
            for (at, seed) in seeds.iter().enumerate() {
                for change in 0..changes {
                    let mut rng = Rng::new((at as u64) << 32 | change);
                    let input = changed(seed, &seeds[rng.below(seeds.len() as u64) as usize], &mut rng);
                    let run = std::panic::catch_unwind(|| (target.run)(&input));
                    assert!(
                        run.is_ok(),
                        "{} breaks at change {change} of seed {at}: {input:x?}",
                        target.name
                    );
                    total += 1;
                }
            }
        }
        println!("changed inputs: {total}");
    }

    /// A few bytes are flipped, overwritten, taken out, put in, or come from another input.
    fn changed(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
        const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'9'];
        let mut bytes = input.to_vec();
        for _ in 0..=rng.below(4) {
            // The first byte, a choice, mostly stays.
            let place = |rng: &mut Rng, len: usize| (1 + rng.below(len as u64 + 1) as usize).min(len);
            let at = place(rng, bytes.len());
            let end = (at + 1 + rng.below(12) as usize).min(bytes.len());
            match rng.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                1 if at < bytes.len() => bytes[at..end].fill(TELLING[rng.below(8) as usize]),
                2 => drop(bytes.drain(at..end)),
                3 => bytes.insert(at, TELLING[rng.below(8) as usize]),
                4 => bytes.extend_from_within(at..end),
                _ => {
                    let from = place(rng, other.len());
                    let to = (from + 1 + rng.below(40) as usize).min(other.len());
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
            }
        }
        bytes
    }
}
