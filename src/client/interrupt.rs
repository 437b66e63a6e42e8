//! Ctrl-C while there is something that can be ended well.

use std::io;
use std::process::exit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// What shells call an end by SIGINT.
pub(super) const EXIT_CODE: u8 = 130;

/// Ctrl-C ends the program.
const ENDS: u8 = 0;
/// Ctrl-C asks to stop.
const ASKS: u8 = 1;
/// It did.
const ASKED: u8 = 2;

/// What Ctrl-C does at the moment.
static MEANING: AtomicU8 = AtomicU8::new(ENDS);

/// While it lives, the first Ctrl-C only asks to stop; the second ends the program, as each
/// does otherwise.
pub(super) struct Interruptible {
    meaning: &'static AtomicU8,
}

impl Interruptible {
    pub fn new() -> Self {
        static WATCHED: OnceLock<bool> = OnceLock::new();
        // Where signals can't be watched, Ctrl-C goes on to end the program.
        WATCHED.get_or_init(|| watch().is_ok());
        MEANING.store(ASKS, Ordering::SeqCst);
        Self { meaning: &MEANING }
    }

    pub fn is_asked_to_stop(&self) -> bool {
        self.meaning.load(Ordering::SeqCst) == ASKED
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.meaning.store(ENDS, Ordering::SeqCst);
    }
}

/// Takes the signals from now on, in a thread of their own.
fn watch() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut interrupts = {
        let _context = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let wait = async move {
        while interrupts.recv().await.is_some() {
            if MEANING.compare_exchange(ASKS, ASKED, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                exit(EXIT_CODE.into());
            }
            eprintln!("stopping after what is under way; Ctrl-C again ends at once");
        }
    };
    std::thread::Builder::new().name("interrupt".into()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}
