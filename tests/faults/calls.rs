//! Calling until the outcome is known, as impatient, forgetful and repetitive as real clients are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use local::people::Somebody;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::driver::Driver;

/// How long an outcome is sought before the run is called broken.
const PATIENCE: Duration = Duration::from_secs(240);

impl Driver {
    /// Calls until the outcome is known: the answer, or a refusal that stays. Some clients vanish mid-call first, some call
    /// again although they were answered: the answer must be the same.
    pub(super) async fn sure<Q, A, F, Fut>(
        &self,
        rng: &mut StdRng,
        who: &Somebody,
        request: &Q,
        call: F,
        what: &str,
    ) -> anyhow::Result<Result<A, Status>>
    where
        Q: Clone,
        A: PartialEq + std::fmt::Debug,
        F: Fn(Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        self.vanish(rng, who, request, &call).await;
        let (began, mut pause) = (tokio::time::Instant::now(), 25);
        loop {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let answer = call(who.request(request.clone())).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            match answer {
                Ok(response) => {
                    let answer = response.into_inner();
                    self.again(rng, who, request, &call, &answer, what).await;
                    return Ok(Ok(answer));
                }
                Err(status) if !passing(status.code()) => return Ok(Err(status)),
                Err(status) if began.elapsed() > PATIENCE => anyhow::bail!("{what}: {status}"),
                Err(_) => {
                    // Twice as long each time, up to some two seconds, as a program that means well does.
                    local::pause(Duration::from_millis(rng.random_range(pause..pause * 2))).await;
                    pause = (pause * 2).min(1200);
                }
            }
        }
    }

    async fn vanish<Q, A, F, Fut>(&self, rng: &mut StdRng, who: &Somebody, request: &Q, call: &F)
    where
        Q: Clone,
        F: Fn(Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let times = if self.load.storm { rng.random_range(1..4) } else { u32::from(rng.random_bool(0.03)) };
        for _ in 0..times {
            let patience = Duration::from_micros(rng.random_range(200..8000));
            let mut request = who.request(request.clone());
            if rng.random_bool(0.5) {
                // The service gives it up by itself.
                request.set_timeout(Duration::from_millis(1));
            }
            if !tokio::time::timeout(patience, call(request)).await.is_ok_and(|answer| answer.is_ok()) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn again<Q, A, F, Fut>(&self, rng: &mut StdRng, who: &Somebody, request: &Q, call: &F, first: &A, what: &str)
    where
        Q: Clone,
        A: PartialEq + std::fmt::Debug,
        F: Fn(Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        if !rng.random_bool(0.05) {
            return;
        }
        match call(who.request(request.clone())).await {
            Ok(second) if second.get_ref() == first => {}
            Err(status) if passing(status.code()) => {}
            other => {
                let what = format!("{what} repeated was answered otherwise: {first:?}, then {other:?}");
                self.history().complaints.push(what);
            }
        }
    }
}

/// Whether the same call may end otherwise when it is made again.
pub(super) fn passing(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::ResourceExhausted
        | Code::Aborted => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// A request id.
pub(super) fn draw(rng: &mut StdRng) -> String {
    Uuid::from_u128(rng.random::<u128>() | 1).to_string()
}

/// Sleeps until the host's clock, which is Postgres's on this machine, says so.
pub(super) async fn until(at: DateTime<Utc>) {
    let wait = at - local::now();
    local::pause(wait.to_std().unwrap_or_default()).await;
}
