//! Keeps the house as `ARCHITECTURE.md` draws it: who imports whom, who names files,
//! who may be unsafe.

use std::path::{Path, PathBuf};

/// Top to bottom; a module imports only from those before it.
const LAYERS: [&str; 19] = [
    "base",
    "vfs",
    "kernels",
    "protocol",
    "format",
    "wal",
    "memtable",
    "segments",
    "manifest",
    "merge",
    "compaction",
    "query",
    "mp",
    "vector",
    "engine",
    "server",
    "client",
    "dump",
    "fuzzing",
];

fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Lines of code: no comments, numbered.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Modules of this crate that a line names.
fn named(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        .filter_map(|(at, found)| {
            let rest = &line[at + found.len()..];
            assert!(!rest.starts_with('{'), "one use a module, please: {line}");
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let word = &rest[..end];
            // A name of the crate's root or of a macro is no module.
            LAYERS.contains(&word).then_some(word)
        })
        .collect()
}

#[test]
fn modules_import_from_the_layers_above_only() {
    let mut checked = 0;
    for (at, layer) in LAYERS.iter().enumerate() {
        for (path, text) in sources(&root().join("src").join(layer)) {
            for (line, code) in code(&text) {
                for module in named(code) {
                    let allowed =
                        LAYERS[..=at].contains(&module) && !(*layer == "client" && module == "server");
                    assert!(allowed, "{}:{line}: {layer} imports {module}", path.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 200, "only {checked} imports were found");
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (_, line) in code(&lib) {
        if let Some(module) = line.strip_prefix("pub mod ") {
            assert!(LAYERS.contains(&module.trim_end_matches(';')), "{module} is in no layer");
        }
    }
}

#[test]
fn only_vfs_names_files() {
    for dir in ["src", "tools"] {
        for (path, text) in sources(&root().join(dir)) {
            if path.starts_with(root().join("src/vfs")) {
                continue;
            }
            // It handles the files of other programs, which no simulated disk holds.
            if path.starts_with(root().join("tools/tsdb_bench")) {
                continue;
            }
            for (line, code) in code(&text) {
                for name in ["std::fs", "File::open(", "File::create(", "OpenOptions", "tokio::fs"] {
                    assert!(!code.contains(name), "{}:{line}: {name}", path.display());
                }
            }
        }
    }
}

#[test]
fn computation_never_sees_files_and_unsafe_is_in_kernels_alone() {
    for (path, text) in sources(&root().join("src")) {
        let inside = |layer: &str| path.starts_with(root().join("src").join(layer));
        for (line, code) in code(&text) {
            let place = format!("{}:{line}: {code}", path.display());
            if inside("mp") || inside("vector") || inside("kernels") {
                assert!(!code.contains("crate::vfs") && !code.contains("crate::segments"), "{place}");
            }
            if !inside("kernels") {
                assert!(!code.contains("unsafe {") && !code.contains("unsafe fn"), "{place}");
            }
            if !inside("manifest") && !inside("vfs") {
                assert!(!code.contains(".remove_dir_all("), "{place}");
            }
            if inside("protocol") {
                assert!(!code.contains("tokio") && !code.contains("std::net"), "{place}");
            }
        }
    }
}

/// The model checker decides only over what it is asked about.
#[test]
fn everything_from_the_engine_down_takes_locks_and_threads_from_base_sync() {
    let root = root().join("src");
    for layer in
        ["base", "vfs", "format", "wal", "memtable", "segments", "manifest", "merge", "compaction", "engine"]
    {
        for (path, text) in sources(&root.join(layer)) {
            let is_test =
                path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
            if is_test || path == root.join("base/sync.rs") {
                continue;
            }
            // Unit tests at the end of a file run on the machine's threads.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for (line, code) in code(text) {
                for name in [
                    "parking_lot",
                    "crossbeam",
                    "rayon",
                    "std::sync::mpsc",
                    "thread::spawn",
                    "std::thread::sleep",
                ] {
                    assert!(!code.contains(name), "{}:{line}: {name}, not by base::sync", path.display());
                }
            }
        }
    }
}

#[test]
fn every_module_has_its_tour() {
    for layer in LAYERS {
        let tour = std::fs::read_to_string(root().join("src").join(layer).join("mod.rs")).unwrap();
        assert!(tour.starts_with("//!"), "{layer}");
        for (path, text) in sources(&root().join("src").join(layer)) {
            assert!(text.starts_with("//!"), "{} says not what it is for", path.display());
        }
    }
}
