"""Removes one safeguard after the other, and runs the unit tests: some test must fail each time.

    python3 tests/mutations.py [--check] [parts of names]

Works on a copy of the committed sources in a temporary directory. The tests that docs/testing.md names for a safeguard run
first, and all of them only where those pass: half a minute a mutation, or two. Prints a table for docs/testing.md; exits
with 1 where a mutation survived. --check only looks whether the sources still have each text that would be replaced, which
takes no time.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Most of the time goes into building one crate anew for each.
ENVIRONMENT = {**os.environ, "CARGO_INCREMENTAL": "1", "CARGO_PROFILE_DEV_OPT_LEVEL": "0"}

# Says neither that the mutation is found nor that it is not: look closer.
NO_END = "(no end within ten minutes)"

# Name, file, text that comes once in it, replacement. Two syncs are not here, for the simulated disk knows nothing of
# what they are for: that of the directory that a file leaves for quarantine (a rename is one change, durable with its
# new name), and that of "." as the parent of a relative data directory.
MUTATIONS = [
    ("log frames: sync", "src/wal/writer.rs", "            self.file.sync()?;\n", ""),
    ("log frames: durable when written", "src/wal/writer.rs", "self.file.write_durable_at(&self.frames, self.offset)?;", "self.file.write_all_at(&self.frames, self.offset)?;"),
    ("group commit: durable before the acknowledgement", "src/engine/logs.rs", "writer.write(durable);", "writer.write(false);"),
    ("log on the real disk: written through its cache", "src/vfs/log_file.rs", "let flags = (OFlags::DIRECT | OFlags::DSYNC)", "let flags = OFlags::DIRECT"),
    ("log that could not be written: nothing more of it", "src/engine/logs.rs", "            self.refuse_writes(&failure);\n            log.writer = None;", "            log.writer = None;"),
    ("journal: durable before the acknowledgement", "src/wal/journal.rs", "self.file.write(true)?", "self.file.write(false)?"),
    ("journal: into the logs before it is made anew", "src/engine/group.rs", "        if !written.fold(true, |all, written| all & written.is_ok()) {\n            return;", "        if false && !written.fold(true, |all, written| all & written.is_ok()) {\n            return;"),
    ("journal: read at a start", "src/engine/generation.rs", "        journals.write_to_logs(&environment.vfs)?;\n", ""),
    ("journal: synced into the logs at a start", "src/engine/journals.rs", "                file.sync()\n", "                Ok::<(), std::io::Error>(())\n"),
    ("journal: missed where a log names it", "src/engine/recovery.rs", "            journals.check(group).map_err(|e| hinted(&e))?;\n", "            let _ = journals.check(group);\n"),
    ("journal: one follows the other", "src/engine/journals.rs", "one.number.abs_diff(other.number) != 1", "one.number.abs_diff(other.number) == 0"),
    ("journal: of this generation", "src/wal/journal.rs", "    reader.check_origin(origin)?;\n", "    let _ = origin;\n"),
    ("log: of this generation", "src/wal/reader.rs", "    reader.check_origin(origin)?;\n", "    let _ = origin;\n"),
    ("manifest: of this generation", "src/engine/recovery.rs", "(manifest.shards, manifest.origin) != (shards, origin)", "manifest.shards != shards"),
    ("segment: of this generation", "src/segments/reader.rs", "(header.shard, header.origin) != of", "header.shard != of.0"),
    ("CURRENT: names what is there", "src/manifest/directory.rs", "        Ok(Some(_)) => Ok(live),\n", "        Ok(_) => Ok(live),\n"),
    ("CURRENT: of this database, where it is mended", "src/manifest/directory.rs", ".and_then(of_this_database)", ".inspect(|live| drop(of_this_database(*live)))"),
    ("journal: takes only what has its place in a log", "src/engine/commit.rs", "            && commit.log.writer.as_ref().is_some_and(LogWriter::has_room)\n", ""),
    ("journal: a lost end is one of all that share it", "src/engine/recovery.rs", "            cut(opened).map_or(Ok(()), |reason| opened.shard.give_up_logs(&reason))?;\n", "            let _ = cut(opened);\n"),
    ("journal: what it promised of a log", "src/engine/recovery.rs", "let promised = journals.promised(self.number);", "let promised = 0;"),
    ("end of a log: sync", "src/engine/logs.rs", "if let Err(e) = writer.sync() {\n                self.refuse", "if let Err(e) = Ok::<(), std::io::Error>(()) {\n                self.refuse"),
    ("interval and stop: sync", "src/engine/logs.rs", "        match writer.sync() {", "        match Ok::<(), std::io::Error>(()) {"),
    ("newest log: named in the manifest", "src/engine/logs.rs", "self.install(|manifest| manifest.newest_log = Some(first_seq))", "self.install(|_| ())"),
    ("end of the log: in the manifest", "src/engine/flush.rs", "        next.durable_seq = self.durable_seq.load(Ordering::SeqCst);\n", ""),
    ("end of the log: manifest at a stop", "src/engine/logs.rs", "            let _ = self.install(|_| ());\n", ""),
    ("log of another place", "src/wal/reader.rs", "if (header.shard, header.id) != (shard, first_seq) {", "if false {"),
    ("recovered log: sync", "src/engine/recovery.rs", "                file.sync()?;\n", ""),
    ("recovered log: written again", "src/engine/recovery.rs", "                rewrite(file.as_ref(), HEADER_BYTES as u64..ending.offset)?;\n", ""),
    ("names at start: directory sync before a removal", "src/engine/recovery.rs", "        .sync_dir(dir)\n", "        .metadata(dir).map(drop)\n"),
    ("CURRENT at start: directory sync before a removal", "src/engine/facade.rs", "            vfs.sync_dir(&dir).map_err(on_disk)?;\n", ""),
    ("newer format: refused before a change", "src/engine/facade.rs", "        refuse_newer(vfs.as_ref(), &dir)?;\n", "        let _ = refuse_newer;\n"),
    ("CURRENT: not guessed among several", "src/manifest/directory.rs", "        [generation] => Ok(*generation),", "        [generation, ..] => Ok(*generation),"),
    ("quarantine: no name is taken twice", "src/manifest/quarantine.rs", "if vfs.metadata(&target(&name))?.is_none() {", "if number == 2 {"),
    ("unreadable files set aside before a LOAD switches", "src/engine/load.rs", "live.shards.iter().try_for_each(|shard| shard.set_aside_unreadable())", "live.shards.iter().try_for_each(|_| Ok::<(), Error>(()))"),
    ("segment: content hash", "src/segments/verify.rs", "    if found != *expected || ", "    if "),
    ("snapshot directory: sync of its parent", "src/engine/snapshot_path.rs", "vfs.create_dir(&next).and_then(|()| vfs.sync_dir(&parent))", "vfs.create_dir(&next)"),
    ("metadata: sync before the rename", "src/vfs/helpers.rs", "        file.write_all_at(bytes, 0)?;\n        file.sync()\n", "        file.write_all_at(bytes, 0)\n"),
    ("metadata: rename", "src/vfs/helpers.rs", "    let temp = dir.join(format!(\"{name}.tmp\"));", "    let temp = dir.join(name);"),
    ("metadata: directory sync", "src/vfs/helpers.rs", "    vfs.rename(&temp, &dir.join(name))?;\n    vfs.sync_dir(dir)", "    vfs.rename(&temp, &dir.join(name))"),
    ("new directory: sync of its parent", "src/vfs/helpers.rs", "Some(parent) => vfs.sync_dir(parent),", "Some(_) => Ok(()),"),
    ("new shards: sync of the generation", "src/manifest/directory.rs", "    vfs.sync_dir(generation_dir).map_err(on_disk)?;\n", ""),
    ("segments and snapshots: sync before the rename", "src/vfs/helpers.rs", "        io::Write::flush(&mut self)?;\n        self.file.sync()?;", "        io::Write::flush(&mut self)?;"),
    ("segment name: directory sync", "src/segments/writer.rs", "        vfs.sync_dir(&dir).map_err(|e| {\n            // No manifest", "        vfs.metadata(&dir).map(drop).map_err(|e| {\n            // No manifest"),
    ("snapshot name: directory sync", "src/engine/save.rs", "vfs.rename(&temp, target).and_then(|()| vfs.sync_dir(dir)).map_err", "vfs.rename(&temp, target).map_err"),
    ("snapshot: temporary file and rename", "src/engine/save.rs", "let temp = dir.join(UNFINISHED_SAVE);", "let temp = { let _ = UNFINISHED_SAVE; target.to_owned() };"),
    ("quarantine: sync of its directory", "src/manifest/quarantine.rs", "        vfs.sync_dir(&dir)?;\n", ""),
    ("loss noted before the file goes", "src/engine/recovery.rs", "                    manifest.losses.push(loss);", "                    drop(loss);"),
    ("lost segment: to quarantine after a crash, too", "src/engine/recovery.rs", "                    set_aside(environment, &path, &reason)?;", "                    environment.obsolete.remove(path);"),
    ("both generations kept where a switch is in doubt", "src/engine/load.rs", "            // Which generation a restart", "            let _ = remove_generation(self.vfs().as_ref(), self.data_dir(), staged.record.generation);\n            // Which generation a restart"),
    ("generation that was used is not removed", "src/manifest/directory.rs", "if was_used(&vfs, &generation_dir)? {", "if was_used(&vfs, &generation_dir)? && false {"),
    ("file header: CRC", "src/format/header.rs", "if bytes.get(..COVERED_BYTES).map(crc32fast::hash) != Some(crc) {", "if bytes.get(..COVERED_BYTES).map(crc32fast::hash) != Some(crc) && false {"),
    ("metadata: CRC", "src/format/metadata.rs", "    if crc32fast::hash(covered) != reader.u32()? {", "    if crc32fast::hash(covered) != reader.u32()? && false {"),
    ("log frame: CRC", "src/format/frame.rs", "    if crc32fast::hash(covered).to_le_bytes() != stored {", "    if crc32fast::hash(covered).to_le_bytes() != stored && false {"),
    ("block: CRC", "src/format/block.rs", "    if crc32fast::hash(covered).to_le_bytes() != crc {", "    if crc32fast::hash(covered).to_le_bytes() != crc && false {"),
    ("segment footer: CRC", "src/segments/index.rs", "if crc32fast::hash(covered) != reader.u32()? ||", "if crc32fast::hash(covered) != reader.u32()? && false ||"),
    ("segment index: CRC", "src/segments/reader.rs", "if crc32fast::hash(&compressed) != footer.index_crc {", "if crc32fast::hash(&compressed) != footer.index_crc && false {"),
    ("snapshot chunk: CRC", "src/engine/snapshot_file.rs", "|| crc.finalize().to_le_bytes() != stored {", "|| crc.finalize().to_le_bytes() != stored && false {"),
    ("who waits for the disk: another has the sockets", "src/server/plan.rs", "                drop(runtime.spawn(async {}));\n", ""),
]


def main():
    wanted = [part for part in sys.argv[1:] if part != "--check"] or [""]
    chosen = [mutation for mutation in MUTATIONS if any(part in mutation[0] for part in wanted)]
    if not chosen:
        sys.exit(f"no safeguard has {' or '.join(wanted)} in its name")
    if "--check" in sys.argv:
        check(ROOT, chosen)
        print(f"mutations: {len(chosen)} can be tried")
        return
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="mutations-"))
    survived, tried = [], 0
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(scratch / "copy")], check=True)
        check(scratch / "copy", chosen)
        known = catchers()
        print("| safeguard removed | tests that fail |\n| --- | --- |")
        for name, file, old, new in chosen:
            tried += 1
            path = scratch / "copy" / file
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(old, new), encoding="utf-8")
            named = known.get(name, [])
            failed = (
                named and (run(scratch / "copy", ["--lib"], named) or run(scratch / "copy", ["--test", "golden"], named))
                or run(scratch / "copy", ["--lib", "--test", "golden"], [])
            )
            path.write_text(text, encoding="utf-8")
            if not failed or failed == [NO_END]:
                survived.append(name)
            print(f"| {name} | {', '.join(failed) or '**none**'} |", flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"mutations: {tried}, of which {tried - len(survived)} caught")
    if survived:
        sys.exit(f"{len(survived)} survived: {'; '.join(survived)}")


def check(sources, mutations):
    """Ends with an error where a text is not there just once."""
    wrong = []
    for name, file, old, _ in mutations:
        times = (sources / file).read_text(encoding="utf-8").count(old)
        if times != 1:
            wrong.append(f"{name}: {file} has the text {times} times; correct the list in tests/mutations.py")
    if wrong:
        sys.exit("\n".join(wrong))


def catchers():
    """The tests that each safeguard's row in docs/testing.md names."""
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \|$", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: re.findall(r"`([\w:]+)`", tests) for name, tests in rows}


def run(copy, targets, tests):
    """Names of the tests that fail, among these or all, the most telling ones first."""
    command = ["cargo", "test", "--locked", "--quiet", "--no-fail-fast", *targets, "--", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        return [NO_END]
    names = sorted(set(re.findall(r"^    (\w+(?:::\w+)*)$", done.stdout, re.MULTILINE)), key=lambda name: "engine::tests" not in name)
    if not names and done.returncode != 0:
        sys.exit(f"the mutation does not compile:\n{done.stderr[-2000:]}")
    return [f"`{name.removeprefix('engine::tests::')}`" for name in names[:3]]


if __name__ == "__main__":
    main()
