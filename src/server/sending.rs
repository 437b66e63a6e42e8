//! A reply on its way to a client that may take its time.
//!
//! Whoever reads slowly keeps little: what can be read again is given back after a moment.
//! Whoever stands still needs a share of the memory for replies, and is left where there is
//! none, or as soon as somebody else waits for it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::protocol::Renderer;

use super::budget::{Budget, Reserved};

/// Bytes of a reply that are rendered at a time.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// What a connection holds of a reply: a page of rows, and a piece as it is written.
pub(super) const SENDING_BYTES: u64 = 2 * PIECE_BYTES as u64;
/// After so long a reader takes his time.
const MOMENT: Duration = Duration::from_millis(100);
/// After so long he stands still.
pub(super) const STANDSTILL: Duration = Duration::from_secs(1);

/// What is still to be sent of a reply, and what it holds of the memory that all share.
pub(super) struct Sending {
    pub renderer: Renderer,
    pub reserved: Option<Reserved>,
}

/// What is still to be sent of the reply on a connection that speaks HTTP: its body renders
/// it, the stream below sees how it is read.
pub(super) type Rest = Arc<Mutex<Option<Sending>>>;

/// When to look again at a reader that has taken nothing for so long.
pub(super) fn next_look(stalled: Duration, patience: Duration) -> Duration {
    let wait = if stalled < MOMENT { MOMENT } else { STANDSTILL };
    wait.min(patience.saturating_sub(stalled))
}

/// Looks at a reader that has taken nothing for so long; false where he is to be left.
/// `rest` is what is still to be rendered for him, `reserved` his share if that is nothing.
pub(super) fn goes_on(
    stalled: Duration,
    patience: Duration,
    replies: &Budget,
    rest: Option<&mut Sending>,
    reserved: &mut Option<Reserved>,
) -> bool {
    let reserved = match rest {
        Some(rest) => {
            rest.renderer.let_go();
            &mut rest.reserved
        }
        None => reserved,
    };
    if stalled < STANDSTILL {
        return stalled < patience;
    }
    match reserved {
        Some(reserved) if reserved.is_wanted() => return false,
        Some(_) => {}
        None => *reserved = replies.reserve_now(SENDING_BYTES),
    }
    reserved.is_some() && stalled < patience
}
