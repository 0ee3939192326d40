//! What code prints, as progress notifications.

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use tokio::sync::mpsc;

use sandbox_client::LivePiece;
use sessions::PieceReceiver;

/// Maximum number of texts that wait for the client. Others are dropped; the result has them.
const WAITING_TEXTS: usize = 64;
/// Maximum size of a text in a notification.
const MAX_TEXT_BYTES: usize = 4 << 10;

/// Reports to one client.
pub(super) struct ProgressReports {
    /// `None` if the client does not want any.
    wanted: Option<(ProgressToken, mpsc::Receiver<String>)>,
    peer: Peer<RoleServer>,
}

impl ProgressReports {
    /// The reports for a request, and the receiver of output that feeds them.
    pub(super) fn of(
        context: &RequestContext<RoleServer>,
    ) -> (ProgressReports, Option<PieceReceiver>) {
        let peer = context.peer.clone();
        let Some(token) = context.meta.get_progress_token() else {
            return (ProgressReports { wanted: None, peer }, None);
        };
        let (sender, texts) = mpsc::channel(WAITING_TEXTS);
        let receiver = move |piece: LivePiece| {
            if let LivePiece::Text(_, bytes) = piece {
                let bytes = &bytes[..bytes.len().min(MAX_TEXT_BYTES)];
                // A client that is too slow misses some.
                drop(sender.try_send(String::from_utf8_lossy(bytes).into_owned()));
            }
        };
        (ProgressReports { wanted: Some((token, texts)), peer }, Some(Box::new(receiver)))
    }

    /// Sends notifications until it is cancelled.
    pub(super) async fn report(&mut self) {
        if let Some((token, texts)) = &mut self.wanted {
            let mut count = 0;
            while let Some(text) = texts.recv().await {
                count += 1;
                let progress = ProgressNotificationParam::new(token.clone(), f64::from(count));
                // A client that is gone gets no result either.
                drop(self.peer.notify_progress(progress.with_message(text)).await);
            }
        }
        std::future::pending().await
    }
}
