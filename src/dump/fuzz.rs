//! What the fuzzer does with the inspector.

use std::path::Path;
use std::sync::Arc;

use super::{Task, run_task};
use crate::vfs::{FileKind, Vfs};

/// Looks into every file below a directory, as a log and as a segment, and at the
/// directory as a whole. Each line of the JSON form is JSON.
pub fn inspect(vfs: &Arc<dyn Vfs>, data_dir: &Path) {
    let mut dirs = vec![data_dir.to_owned()];
    let mut tasks = vec![
        Task::Verify { data_dir: data_dir.to_owned() },
        Task::Manifest { data_dir: data_dir.to_owned(), json: false },
        Task::Manifest { data_dir: data_dir.to_owned(), json: true },
        Task::Tree { data_dir: data_dir.to_owned() },
    ];
    while let Some(dir) = dirs.pop() {
        for entry in vfs.list(&dir).unwrap_or_default() {
            let file = dir.join(&entry.name);
            if entry.metadata.kind == FileKind::Dir {
                dirs.push(file);
                continue;
            }
            for json in [false, true] {
                tasks.push(Task::Wal { file: file.clone(), json });
                tasks.push(Task::Segment { file: file.clone(), rows: true, json });
            }
        }
    }
    for task in tasks {
        let mut out = Vec::new();
        // What is damaged is told; what is told is looked at here.
        let _ = run_task(vfs, &task, &mut out);
        let text = String::from_utf8(out).unwrap_or_else(|e| panic!("{task:?}: {e}"));
        let is_json = matches!(
            task,
            Task::Wal { json: true, .. }
                | Task::Segment { json: true, .. }
                | Task::Manifest { json: true, .. }
        );
        for line in text.lines().filter(|_| is_json) {
            let parsed = serde_json::from_str::<serde_json::Value>(line);
            assert!(parsed.is_ok_and(|value| value.is_object()), "{task:?}: {line}");
        }
    }
}
