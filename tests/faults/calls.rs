//! Calling until the outcome is known, as impatient, forgetful and repetitive as real clients are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use local::people::{Somebody, passing};
use local::scenario::time;
use proto::dispatch::v1 as dispatch;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::notifications::v1::AnswerByLinkResponse;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::driver::Driver;
use super::history::{Attempt, Call, Outcome};

/// How long an outcome is sought before the run is called broken.
const PATIENCE: Duration = Duration::from_secs(240);

/// A method, and when its answer says that it was done.
pub(super) struct Method<A>(pub &'static str, pub fn(&A) -> Option<DateTime<Utc>>);

pub(super) const BLOW: Method<dispatch::BlowWhistleResponse> =
    Method("BlowWhistle", |done| time(done.blow_time.as_ref()?));
pub(super) const ANSWER: Method<dispatch::AssignmentStatus> =
    Method("AnswerAssignment", |done| time(done.update_time.as_ref()?));
pub(super) const TAP: Method<AnswerByLinkResponse> = Method("AnswerByLink", |done| time(done.answer_time.as_ref()?));
pub(super) const SUBMIT: Method<dispatch::AssignmentStatus> =
    Method("SubmitAssignment", |done| time(done.update_time.as_ref()?));
pub(super) const CONFIRM: Method<dispatch::AssignmentStatus> =
    Method("ConfirmAssignment", |done| time(done.update_time.as_ref()?));
pub(super) const WITHDRAW: Method<dispatch::WhistleStatus> =
    Method("WithdrawWhistle", |done| time(done.update_time.as_ref()?));

impl Driver {
    /// Calls until the outcome is known: the answer, or a refusal that stays. Some clients vanish mid-call first, some call
    /// again although they were answered: the answer must be the same.
    pub(super) async fn sure<Q, A, F, Fut>(
        &self,
        rng: &mut StdRng,
        who: &Somebody,
        request: &Q,
        call: F,
        (method, about): (Method<A>, &str),
    ) -> anyhow::Result<Result<A, Status>>
    where
        Q: Clone,
        A: PartialEq + std::fmt::Debug,
        F: Fn(Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let (what, mut attempts) = (format!("{} of {about}", method.0), Vec::new());
        self.vanish(rng, who, request, &call, &method, &mut attempts).await;
        let (began, mut pause) = (tokio::time::Instant::now(), 25);
        let known = loop {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let answer = attempt(call(who.request(request.clone())), &method, &mut attempts).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            match answer {
                Err(status) if passing(status.code()) && began.elapsed() > PATIENCE => break Err(status),
                Err(status) if passing(status.code()) => {
                    // Twice as long each time, up to some two seconds, as a program that means well does.
                    local::pause(Duration::from_millis(rng.random_range(pause..pause * 2))).await;
                    pause = (pause * 2).min(1200);
                }
                known => break known,
            }
        };
        if let Ok(answer) = &known
            && rng.random_bool(0.05)
        {
            let again = attempt(call(who.request(request.clone())), &method, &mut attempts).await;
            self.compare(&what, answer, again);
        }
        self.history().calls.push(Call { what: what.clone(), attempts });
        match known {
            Err(status) if passing(status.code()) => anyhow::bail!("{what}: {status}"),
            known => Ok(known),
        }
    }

    async fn vanish<Q, A, F, Fut>(
        &self,
        rng: &mut StdRng,
        who: &Somebody,
        request: &Q,
        call: &F,
        method: &Method<A>,
        attempts: &mut Vec<Attempt>,
    ) where
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
            let gone = |_| Err(Status::cancelled("the client has gone"));
            let answer = async { tokio::time::timeout(patience, call(request)).await.unwrap_or_else(gone) };
            if attempt(answer, method, attempts).await.is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Now and then: the same request id with another body must be refused.
    pub(super) async fn other_body(
        &self,
        rng: &mut StdRng,
        street: &Somebody,
        request: &dispatch::BlowWhistleRequest,
        mut client: WhistleServiceClient<Channel>,
    ) {
        if !rng.random_bool(0.02) {
            return;
        }
        let other = dispatch::BlowWhistleRequest { title: "另一事项".into(), ..request.clone() };
        let began = tokio::time::Instant::now();
        let mut answer = client.blow_whistle(street.request(other.clone())).await;
        while answer.as_ref().is_err_and(|status| passing(status.code())) && began.elapsed() < PATIENCE {
            local::pause(Duration::from_millis(500)).await;
            answer = client.blow_whistle(street.request(other.clone())).await;
        }
        if !answer.as_ref().is_err_and(|status| status.code() == Code::AlreadyExists) {
            let what = format!("request {} with another body was not refused: {answer:?}", request.request_id);
            self.history().complaints.push(what);
        }
    }

    fn compare<A: PartialEq + std::fmt::Debug>(&self, what: &str, first: &A, again: Result<A, Status>) {
        match again {
            Ok(second) if second == *first => {}
            Err(status) if passing(status.code()) => {}
            other => {
                let what = format!("{what} repeated was answered otherwise: {first:?}, then {other:?}");
                self.history().complaints.push(what);
            }
        }
    }
}

/// Makes an attempt, and writes down what came of it.
async fn attempt<A>(
    answer: impl Future<Output = Result<Response<A>, Status>>,
    method: &Method<A>,
    attempts: &mut Vec<Attempt>,
) -> Result<A, Status> {
    let invoked = local::now();
    let answer = answer.await.map(Response::into_inner);
    let outcome = match &answer {
        Ok(done) => Outcome::Ok(method.1(done)),
        Err(status) if passing(status.code()) => Outcome::Unknown,
        Err(_) => Outcome::Fail,
    };
    attempts.push(Attempt { invoked, returned: local::now(), outcome });
    answer
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
