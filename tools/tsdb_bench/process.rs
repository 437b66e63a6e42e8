//! The programs under test: started and stopped by their ids, and what they use.

use std::fs::Metadata;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// Of the times in `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// Longer than the background work of any server lasts.
const IDLE_PATIENCE: Duration = Duration::from_mins(30);
/// After which a program that was asked to stop is killed.
const STOP_PATIENCE: Duration = Duration::from_mins(2);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts a server that will listen on `address`.
    pub fn start(command: &mut Command, address: SocketAddr) -> Result<Self> {
        let child = spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        Ok(Self { child, address })
    }

    /// A server that was started and listens on `address`.
    pub fn adopt(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Seconds that it has computed, its system calls included.
    pub fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// Its resident memory now, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub fn peak_bytes(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.ok_or_else(|| format!("{path} has no {field}"))? << 10)
    }

    /// Waits until it has hardly computed for `quiet`.
    pub fn wait_until_idle(&self, quiet: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(250);
        let started = Instant::now();
        let mut quiet_since = started;
        let mut before = self.cpu_seconds()?;
        loop {
            std::thread::sleep(STEP);
            let now = self.cpu_seconds()?;
            // A tick may be that of a clock or a cache.
            if now - before > 1.5 / TICKS_PER_SECOND {
                quiet_since = Instant::now();
            }
            before = now;
            if quiet_since.elapsed() >= quiet {
                return Ok(());
            }
            if started.elapsed() > IDLE_PATIENCE {
                return Err(format!("process {} is never idle", self.child.id()).into());
            }
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; how long it took to end.
    pub fn stop(mut self) -> Result<Duration> {
        let started = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        while self.child.try_wait()?.is_none() {
            if started.elapsed() > STOP_PATIENCE {
                return Err(format!("process {} does not stop", self.child.id()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(started.elapsed())
    }

    /// An error where it has ended by itself.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("the server on {} ended: {status}", self.address).into()),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program, or says how to get it.
pub fn spawn(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|e| format!("{program}: {e}").into())
}

/// Seconds that this process has computed.
pub fn own_cpu_seconds() -> Result<f64> {
    cpu_seconds("self")
}

fn cpu_seconds(process: &str) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    // The second field, the program's name, may hold blanks and parentheses.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) as f64 / TICKS_PER_SECOND),
        _ => Err(format!("{path} has no times").into()),
    }
}

/// A port of the loopback interface that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A new directory; removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(parent: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("tsdb_bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} was left behind: {e}", self.0.display());
        }
    }
}

/// The lengths of all files below a path that `counted` accepts, without their holes, in
/// bytes.
pub fn file_bytes(path: &Path, counted: &dyn Fn(&Path) -> bool) -> Result<u64> {
    sum(path, &|path, metadata| {
        if metadata.is_file() && counted(path) { metadata.len().min(metadata.blocks() * 512) } else { 0 }
    })
}

/// What everything below a path takes of the disk, in bytes, as `du` has it.
pub fn disk_bytes(path: &Path) -> Result<u64> {
    sum(path, &|_, metadata| metadata.blocks() * 512)
}

fn sum(path: &Path, size: &dyn Fn(&Path, &Metadata) -> u64) -> Result<u64> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // Compactions remove files meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(format!("{}: {e}", path.display()).into()),
    };
    let mut bytes = size(path, &metadata);
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            bytes += sum(&entry?.path(), size)?;
        }
    }
    Ok(bytes)
}
