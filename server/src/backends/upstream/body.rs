//! The body of an upstream's response, read with bounded memory: as server-sent events or whole.

use std::pin::Pin;

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use reqwest::Response;

use super::UpstreamError;
use resources::budget::{Budget, PART_OF_OWNER, Share, memory_bytes};

/// Maximum size of one response.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Maximum size of one line; an image is a single line.
const MAX_LINE_BYTES: usize = 16 << 20;
/// Maximum number of lines of an answer, several for each piece.
const MAX_LINES: usize = 1_000_000;
/// What is read without a reservation, and the step of reservations.
const STEP_BYTES: usize = 1 << 20;
/// A growing buffer has up to twice the size of its content.
const BYTES_PER_BYTE: usize = 2;

/// The part of this machine's memory for what model servers have sent and has not been parsed.
const PART_OF_MEMORY: u64 = 16;
/// The minimum, with which one owner of several can receive one answer of the maximum size.
const MIN_BUDGET_BYTES: usize = PART_OF_OWNER * BYTES_PER_BYTE * MAX_ANSWER_BYTES;

/// The data of server-sent events.
pub type Datas = Pin<Box<dyn Stream<Item = Result<String, UpstreamError>> + Send>>;

/// The memory that all model servers share.
pub fn budget() -> Budget {
    let part = usize::try_from(memory_bytes() / PART_OF_MEMORY).unwrap_or(usize::MAX);
    Budget::new(part.max(MIN_BUDGET_BYTES))
}

/// Memory for what has been received and not yet been parsed.
#[derive(Debug)]
struct Reservation {
    budget: Budget,
    memory: Share,
}

impl Reservation {
    fn new(budget: Budget) -> Reservation {
        Reservation { budget, memory: Share::default() }
    }

    /// Reserves memory for a buffer with this content.
    fn cover(&mut self, content_bytes: usize) -> Result<(), UpstreamError> {
        let has = STEP_BYTES + self.memory.bytes();
        let missing = (content_bytes * BYTES_PER_BYTE).saturating_sub(has);
        if missing > 0 {
            let more = self.budget.take(missing.next_multiple_of(STEP_BYTES));
            self.memory.add(more.ok_or(UpstreamError::NoMemory)?);
        }
        Ok(())
    }
}

/// A whole body, and its memory.
#[derive(Debug)]
pub struct WholeBody {
    pub text: String,
    memory: Share,
}

impl WholeBody {
    pub async fn read(response: Response, budget: Budget) -> Result<WholeBody, UpstreamError> {
        let mut reserved = Reservation::new(budget);
        let mut bytes = Vec::new();
        let mut pieces = response.bytes_stream();
        // What arrived before an error is parsed: the parser reports what is missing.
        while let Some(Ok(piece)) = pieces.next().await {
            if bytes.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(UpstreamError::TooMuch(bytes.len() + piece.len()));
            }
            reserved.cover(bytes.len() + piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned());
        Ok(WholeBody { text, memory: reserved.memory })
    }

    /// The body as the only event of a stream.
    pub fn into_datas(self) -> Datas {
        let WholeBody { text, memory } = self;
        Box::pin(async_stream::stream! {
            yield Ok(text);
            drop(memory);
        })
    }
}

/// The first bytes of a body.
pub async fn start_of(response: Response, bytes: usize) -> Vec<u8> {
    let mut start = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        let room = bytes - start.len();
        start.extend_from_slice(&piece[..piece.len().min(room)]);
        if start.len() == bytes {
            break;
        }
    }
    start
}

/// The data of server-sent events. The parser rescans what it has with each line, so it gets one line at a
/// time.
pub fn datas(
    bytes: impl Stream<Item = Result<Bytes, UpstreamError>> + Send + 'static,
    budget: Budget,
) -> Datas {
    let lines = async_stream::try_stream! {
        let mut bytes = std::pin::pin!(bytes);
        let mut reserved = Reservation::new(budget);
        let (mut all, mut lines, mut line, mut after_return) = (0, 0, Vec::new(), false);
        // The parser keeps the lines of an event until an empty line ends it.
        let mut event_bytes = 0;
        let is_end = |byte| matches!(byte, b'\n' | b'\r');
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            all += piece.len();
            for part in piece.split_inclusive(|byte| is_end(*byte)) {
                // `\r\n` is one end of a line, and may be split.
                if std::mem::take(&mut after_return) && part == b"\n" {
                    continue;
                }
                let (text, end) = match part.split_last() {
                    Some((end, text)) if is_end(*end) => (text, Some(*end)),
                    _ => (part, None),
                };
                reserved.cover(event_bytes + line.len() + text.len())?;
                line.extend_from_slice(text);
                if let Some(end) = end {
                    after_return = end == b'\r';
                    lines += 1;
                    line.push(b'\n');
                    let line = std::mem::take(&mut line);
                    // The parser copies the other fields, such as the id, with each event.
                    if line == b"\n" {
                        yield Bytes::from(line);
                        (reserved.memory, event_bytes) = (Share::default(), 0);
                    } else if line.starts_with(b"data") {
                        event_bytes += line.len();
                        yield Bytes::from(line);
                    }
                    // Lines without an event, such as comments, do not return to the caller.
                    tokio::task::consume_budget().await;
                }
                if all > MAX_ANSWER_BYTES || line.len() > MAX_LINE_BYTES || lines > MAX_LINES {
                    Err(UpstreamError::TooMuch(all))?;
                }
            }
        }
        yield Bytes::from(line);
    };
    Box::pin(lines.eventsource().map(|event| match event {
        Ok(event) => Ok(event.data),
        Err(EventStreamError::Transport(error)) => Err(error),
        Err(error) => Err(UpstreamError::Nonsense(error.to_string())),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 8 << 20;

    fn line(bytes: usize) -> Bytes {
        Bytes::from(format!("data: {}\n\n", "x".repeat(bytes)))
    }

    #[tokio::test]
    async fn a_stream_reserves_memory_for_the_line_that_it_reads() {
        let budget = Budget::new(LIMIT_BYTES);
        let pieces = vec![line(1 << 20), line(3 << 20), line(5 << 20)];
        let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok));
        let mut datas = datas(pieces, budget.clone());
        for bytes in [1 << 20, 3 << 20] {
            let data = datas.next().await.expect("it is there").expect("it fits");
            assert_eq!(data.len(), bytes);
        }
        let refused = datas.next().await.expect("it is there");
        assert!(matches!(refused, Err(UpstreamError::NoMemory)), "{refused:?}");
        drop(datas);
        assert!(budget.take(LIMIT_BYTES).is_some(), "all is returned");
    }

    #[tokio::test]
    async fn a_stream_reserves_memory_for_the_event_that_it_reads() {
        let budget = Budget::new(LIMIT_BYTES);
        let lines = (0..8).map(|_| Ok(Bytes::from(format!("data: {}\n", "x".repeat(1 << 20)))));
        let mut datas = datas(futures_util::stream::iter(lines), budget);
        let refused = datas.next().await.expect("it is there");
        assert!(matches!(refused, Err(UpstreamError::NoMemory)), "{refused:?}");
    }

    #[tokio::test]
    async fn a_whole_body_reserves_its_memory_until_it_is_parsed() {
        let budget = Budget::new(LIMIT_BYTES);
        let response = |bytes| Response::from(axum::http::Response::new("x".repeat(bytes)));
        let body = WholeBody::read(response(3 << 20), budget.clone()).await.expect("it fits");
        assert!(budget.take(LIMIT_BYTES).is_none(), "it is reserved");
        let datas: Vec<_> = body.into_datas().collect().await;
        assert!(datas[0].as_ref().is_ok_and(|data| data.len() == 3 << 20));
        assert!(budget.take(LIMIT_BYTES).is_some(), "all is returned");
        let refused = WholeBody::read(response(5 << 20), budget.clone()).await;
        assert!(matches!(refused, Err(UpstreamError::NoMemory)));
        assert!(budget.take(LIMIT_BYTES).is_some(), "all is returned");
    }
}
