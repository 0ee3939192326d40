//! Passes output on while the code runs.

use protocol::TextStream;
use tokio::sync::mpsc;

use crate::cell::workspace::WrittenPicture;

/// Maximum number of pieces that wait. The code waits when there are more, as it would for a slow terminal.
const WAITING_PIECES: usize = 16;

/// A piece of output.
#[derive(Debug)]
pub enum LiveOutput {
    Text(TextStream, Vec<u8>),
    Picture { mime_type: &'static str, data: Vec<u8> },
}

/// Where output goes while the code runs: nowhere by default.
#[derive(Debug, Clone, Default)]
pub struct LiveSender(Option<mpsc::Sender<Vec<LiveOutput>>>);

/// A place for the pieces of one read. It is taken before the read, which then loses nothing if it is cancelled.
#[derive(Debug)]
pub struct LivePlace<'s>(Option<mpsc::Permit<'s, Vec<LiveOutput>>>);

/// A sender, and what goes through it.
pub fn channel() -> (LiveSender, mpsc::Receiver<Vec<LiveOutput>>) {
    let (sender, pieces) = mpsc::channel(WAITING_PIECES);
    (LiveSender(Some(sender)), pieces)
}

impl LiveSender {
    pub async fn place(&self) -> LivePlace<'_> {
        LivePlace(match &self.0 {
            // The receiver lives as long as the run.
            Some(sender) => sender.reserve().await.ok(),
            None => None,
        })
    }
}

impl LivePlace<'_> {
    pub fn text(self, stream: TextStream, bytes: &[u8]) {
        if let Some(place) = self.0 {
            place.send(vec![LiveOutput::Text(stream, bytes.to_vec())]);
        }
    }

    pub fn pictures(self, shown: &[WrittenPicture]) {
        if let Some(place) = self.0 {
            let piece = |picture: &WrittenPicture| LiveOutput::Picture {
                mime_type: picture.mime_type,
                data: picture.data.clone(),
            };
            place.send(shown.iter().map(piece).collect());
        }
    }
}
