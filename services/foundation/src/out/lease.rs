//! Acting outside the house under a lease: one process at a time, and none that has slept through its turn.
//!
//! A process may be paused anywhere, also between its last look at the lease and the writing of its request. So the lease is looked
//! at once more when the request's body is written: a body that comes too late is an error, the request stays incomplete, and whoever
//! was to take it takes nothing. What is left is the time from that look to the system call that follows it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How long a request to the outside may take.
pub const REQUEST: Duration = Duration::from_secs(2);
/// How long what was taken up belongs to whoever took it, on a disk that takes no time. A request begins so early that it has ended before
/// that: whoever takes the same up after it asks an outside that has decided. What a paused process holds waits for it, so it is short.
pub const LEASE: Duration = Duration::from_secs(4);
const _: () = assert!(REQUEST.as_millis() * 2 <= LEASE.as_millis());

/// How long it is where a flush takes so long: nothing leaves before taking it up has reached the disk, and with it what else must be on
/// record. On a slow disk a lease would else be over before it began.
pub(super) fn length(flushing: Duration) -> Duration {
    LEASE + 3 * flushing
}

/// The time within which what was taken up may begin to leave.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    until: Instant,
}

impl Lease {
    /// Of what Postgres gave for this long, counted from before it was asked: what begins in it has ended before anybody else is given
    /// the same.
    pub(super) fn of(asked: Instant, given: Duration) -> Lease {
        Lease { until: asked + given.saturating_sub(REQUEST) }
    }

    /// Whether it has not run out.
    pub fn holds(self) -> bool {
        Instant::now() <= self.until
    }

    /// A request's body that is not sent once the lease has run out.
    pub fn body(self, content: impl Into<Bytes>) -> reqwest::Body {
        reqwest::Body::wrap(UnderLease { content: Some(content.into()), lease: self })
    }
}

struct UnderLease {
    content: Option<Bytes>,
    lease: Lease,
}

#[derive(Debug, thiserror::Error)]
#[error("the lease has run out: this process was paused, and another may have acted meanwhile")]
struct TooLate;

/// Whether a request failed because its lease had run out: it never reached anybody as a whole.
pub fn stopped(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<TooLate>)
}

impl Body for UnderLease {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        let Some(content) = self.content.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(if self.lease.holds() { Ok(Frame::data(content)) } else { Err(TooLate) }))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |content| content.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn lease(since: Instant) -> Lease {
        Lease::of(since, LEASE)
    }

    #[tokio::test]
    async fn what_is_written_in_time_is_sent_and_what_comes_too_late_is_not() {
        let slept = Instant::now().checked_sub(LEASE).unwrap();
        let sent = lease(Instant::now()).body("text").collect().await.unwrap().to_bytes();
        assert_eq!(sent, "text");
        assert!(lease(slept).body("text").collect().await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_its_lease_stopped_is_known_from_one_that_nobody_took() {
        let (taking, client) = (tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), reqwest::Client::new());
        let url = format!("http://{}", taking.local_addr().unwrap());
        let slept = Instant::now().checked_sub(LEASE).unwrap();
        assert!(stopped(&client.post(&url).body(lease(slept).body("text")).send().await.unwrap_err()));
        drop(taking);
        assert!(!stopped(&client.post(&url).body(lease(Instant::now()).body("text")).send().await.unwrap_err()));
    }
}
