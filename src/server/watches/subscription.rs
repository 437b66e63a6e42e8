//! Alerts on their way to one connection.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::base::SeriesName;
use crate::protocol::{Alert, Notice};

use super::{ALERTS_WAITING, Watches};

/// Alerts for one connection.
pub(in super::super) struct Subscription {
    receiver: broadcast::Receiver<Arc<Alert>>,
    series: Option<SeriesName>,
    timestamps_as_strings: bool,
}

impl Subscription {
    /// Alerts of a series, or of all, from now on.
    pub fn new(watches: &Watches, series: Option<SeriesName>, timestamps_as_strings: bool) -> Self {
        Self { receiver: watches.subscribe(), series, timestamps_as_strings }
    }

    fn render(&self, notice: Notice, out: &mut Vec<u8>) {
        notice.render(self.timestamps_as_strings, out);
    }

    fn is_wanted(&self, alert: &Alert) -> bool {
        self.series.as_ref().is_none_or(|series| *series == alert.series)
    }

    /// Appends all alerts that have come.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        use broadcast::error::TryRecvError;
        for _ in 0..ALERTS_WAITING {
            match self.receiver.try_recv() {
                Ok(alert) if self.is_wanted(&alert) => {
                    self.render(Notice::Alert(Alert::clone(&alert)), out);
                }
                Ok(_) => {}
                Err(TryRecvError::Lagged(missed)) => self.render(Notice::Missed(missed), out),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Waits for an alert that is wanted, and appends it.
    pub async fn wait(&mut self, out: &mut Vec<u8>) {
        use broadcast::error::RecvError;
        loop {
            match self.receiver.recv().await {
                Ok(alert) if self.is_wanted(&alert) => {
                    return self.render(Notice::Alert(Alert::clone(&alert)), out);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return self.render(Notice::Missed(missed), out),
                // The server stops; its connections are told so otherwise.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
