//! Between two runs of a cell nothing in it gets a processor: threads, children and whatever else a
//! run has left stand still until the next one, and then go on where they were.
//!
//! The cell's init does it, by a signal to all processes of its namespace. What the code itself had
//! stopped goes on with the others.

use std::io;
use std::time::Duration;

use init::Order;

use crate::channel::Channel;

/// Init does nothing else, so it answers at once, unless the machine is very busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Returns when all have been told to stop.
pub async fn stop(init: &Channel) -> io::Result<()> {
    init.send(&[Order::Stop as u8], &[]).await?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, init.receive()).await??;
    match answer {
        Some((text, _)) if text == [Order::Stop as u8] => Ok(()),
        Some(_) => Err(io::Error::other("init may not stop the cell's processes")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Lets them go on. They do so a moment later.
pub async fn go_on(init: &Channel) -> io::Result<()> {
    init.send(&[Order::GoOn as u8], &[]).await
}
