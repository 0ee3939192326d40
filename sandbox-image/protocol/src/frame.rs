//! Message framing: two lengths, a JSON header and a binary blob.
//!
//! ```text
//! u32 header length │ u32 blob length │ header: JSON │ blob
//! ```
//! Both lengths are big-endian. A length over the limit is refused before anything is read.

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Limit of a header, which holds a few short fields.
pub const MAX_HEADER_BYTES: usize = 64 << 10;
/// Limit of a blob. Code and input files can be as large as a request.
pub const MAX_BLOB_BYTES: usize = 100 << 20;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("connection closed")]
    Closed,
    #[error("{what} too long: {bytes} bytes, limit {limit}")]
    TooLong { what: &'static str, bytes: usize, limit: usize },
    #[error("invalid message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for FrameError {
    fn from(error: std::io::Error) -> FrameError {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | BrokenPipe => FrameError::Closed,
            _ => FrameError::Io(error),
        }
    }
}

/// Writes one message. Does not flush a buffered writer.
pub async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
    blob: &[u8],
) -> Result<(), FrameError> {
    let header = serde_json::to_vec(message)?;
    let lengths = [
        within("header", header.len(), MAX_HEADER_BYTES)?,
        within("blob", blob.len(), MAX_BLOB_BYTES)?,
    ];
    let mut frame = Vec::with_capacity(8 + header.len());
    for length in lengths {
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&header);
    to.write_all(&frame).await?;
    to.write_all(blob).await?;
    Ok(())
}

/// Size of the lengths before a message.
const LENGTHS_BYTES: usize = 8;
/// Minimum size of one read.
const READ_BYTES: usize = 8 << 10;

/// Reads messages one after another. Waiting for one can be cancelled: what has arrived of it stays.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(from: R) -> FrameReader<R> {
        FrameReader { from, buffer: BytesMut::new() }
    }

    pub fn get_ref(&self) -> &R {
        &self.from
    }

    /// Whether a further message has begun to arrive.
    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next message and its blob.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<(T, Bytes), FrameError> {
        loop {
            let missing = match self.missing()? {
                0 => return self.take(),
                missing => missing,
            };
            self.buffer.reserve(missing.max(READ_BYTES));
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Closed);
            }
        }
    }

    /// Number of bytes until the message is whole, as far as known.
    fn missing(&self) -> Result<usize, FrameError> {
        let Some((header, blob)) = self.lengths() else {
            return Ok(LENGTHS_BYTES - self.buffer.len());
        };
        within("header", header, MAX_HEADER_BYTES)?;
        within("blob", blob, MAX_BLOB_BYTES)?;
        Ok((LENGTHS_BYTES + header + blob).saturating_sub(self.buffer.len()))
    }

    fn lengths(&self) -> Option<(usize, usize)> {
        let (header, rest) = self.buffer.split_first_chunk::<4>()?;
        let (blob, _) = rest.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*header) as usize, u32::from_be_bytes(*blob) as usize))
    }

    fn take<T: DeserializeOwned>(&mut self) -> Result<(T, Bytes), FrameError> {
        let (header, blob) = self.lengths().unwrap_or_default();
        let mut message = self.buffer.split_to(LENGTHS_BYTES + header + blob).freeze();
        // A buffer as large as this message is not kept for the next one.
        self.buffer = BytesMut::from(&self.buffer[..]);
        let blob = message.split_off(LENGTHS_BYTES + header);
        Ok((serde_json::from_slice(&message[LENGTHS_BYTES..])?, blob))
    }
}

/// Reads one message and its blob.
pub async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<(T, Bytes), FrameError> {
    let header_bytes = from.read_u32().await? as usize;
    let blob_bytes = from.read_u32().await? as usize;
    within("header", header_bytes, MAX_HEADER_BYTES)?;
    within("blob", blob_bytes, MAX_BLOB_BYTES)?;
    let mut header = vec![0; header_bytes];
    from.read_exact(&mut header).await?;
    let mut blob = vec![0; blob_bytes];
    from.read_exact(&mut blob).await?;
    Ok((serde_json::from_slice(&header)?, blob.into()))
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<u32, FrameError> {
    if bytes > limit {
        return Err(FrameError::TooLong { what, bytes, limit });
    }
    Ok(u32::try_from(bytes).expect("both limits are far below 4 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_written_message_is_read_back() {
        let (mut here, mut there) = tokio::io::duplex(1 << 16);
        write(&mut here, &"header", b"blob").await.expect("a duplex takes 18 bytes");
        let (header, blob): (String, Bytes) =
            read(&mut there).await.expect("the message is complete");
        assert_eq!((header.as_str(), &blob[..]), ("header", &b"blob"[..]));
    }

    #[tokio::test]
    async fn messages_are_read_one_by_one_however_their_bytes_arrive() {
        let mut bytes = Vec::new();
        for blob in [&b"first"[..], b"", &[7; 20_000]] {
            write(&mut bytes, &"header", blob).await.expect("a vector takes everything");
        }
        for size in [1, 7, 8, 9000, bytes.len()] {
            let (here, mut there) = tokio::io::duplex(size);
            let sending = async {
                there.write_all(&bytes).await.expect("the other end reads");
                drop(there);
            };
            let reading = async {
                let mut reader = FrameReader::new(here);
                let mut lengths = Vec::new();
                loop {
                    // Cancelled at every point at which it has to wait.
                    let next = tokio::time::timeout(std::time::Duration::ZERO, reader.next());
                    match next.await {
                        Ok(Ok((header, blob))) => {
                            let header: String = header;
                            assert_eq!(header, "header");
                            lengths.push(blob.len());
                        }
                        Ok(Err(error)) => {
                            assert!(matches!(error, FrameError::Closed), "{error}");
                            return lengths;
                        }
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            };
            let (lengths, ()) = tokio::join!(reading, sending);
            assert_eq!(lengths, [5, 0, 20_000], "{size} bytes at a time");
        }
    }

    #[tokio::test]
    async fn a_reader_refuses_a_length_beyond_the_limit() {
        let mut reader = FrameReader::new(&[0xff; 8][..]);
        let error = reader.next::<String>().await.expect_err("4 GiB were accepted");
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
        let mut bytes: &[u8] = &[0xff; 8];
        let error = read::<String>(&mut bytes).await.expect_err("4 GiB were accepted");
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn half_a_message_is_a_closed_connection() {
        let mut bytes: &[u8] = &[0, 0, 0, 9, 0, 0, 0, 0, b'"'];
        let error = read::<String>(&mut bytes).await.expect_err("half a message was accepted");
        assert!(matches!(error, FrameError::Closed), "{error}");
    }
}
