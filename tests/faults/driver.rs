//! The load: whistles of many streets on one to four units each, at a chosen rate, over the public gRPC API; answers at chosen
//! distances from a rung, by the unit's own system or by the link in the SMS; withdrawals; repeated calls; clients that vanish
//! mid-call. Everything is drawn from the seed. Every call is repeated under its request id until its outcome is known.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use local::people::{Somebody, channel};
use local::scenario::{time, timestamp};
use local::stack::Stack;
use local::stand_ins::{Kind, Seen};
use proto::common::v1 as common;
use proto::dispatch::v1 as dispatch;
use proto::dispatch::v1::blow_whistle_request::{Assignee, Subject};
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::notifications::v1::AnswerByLinkRequest;
use proto::notifications::v1::answer_link_service_client::AnswerLinkServiceClient;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use super::calls::{ANSWER, BLOW, CONFIRM, SUBMIT, TAP, WITHDRAW, draw, until};
use super::history::{Assignment, History, Whistle};
use super::people::{MATTER, People};

/// How much load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Whistles in all.
    pub whistles: usize,
    /// Whistles a second.
    pub rate: f64,
    /// How long an hour of the ladder lasts.
    pub hour: TimeDelta,
    /// Everything follows from it.
    pub seed: u64,
    /// Clients drop every call at random once or more before they let it end.
    pub storm: bool,
}

impl Load {
    /// From its beginning to the whistle of this number.
    #[expect(clippy::cast_precision_loss, reason = "a count of whistles is small")]
    pub fn until(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// The load, running.
#[derive(Clone)]
pub struct Driver {
    pub(super) load: Load,
    policy: i64,
    people: Arc<People>,
    whistles: Vec<WhistleServiceClient<Channel>>,
    links: AnswerLinkServiceClient<Channel>,
    seen: broadcast::Sender<Seen>,
    history: Arc<Mutex<History>>,
    pub(super) in_flight: Arc<AtomicUsize>,
    pub(super) dropped: Arc<AtomicU64>,
}

/// What a unit does with its assignment.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Silent,
    /// Answers this long after T0.
    Answers(TimeDelta),
    /// Answers by the link in its first SMS.
    Taps,
}

impl Driver {
    /// Clients for everything; nothing is sent yet.
    pub fn new(stack: &Stack, load: Load, policy: i64, people: Arc<People>) -> anyhow::Result<Driver> {
        let client = |_| Ok(WhistleServiceClient::new(channel(stack, "dispatch")?));
        Ok(Driver {
            load,
            policy,
            people,
            whistles: (0..4).map(client).collect::<anyhow::Result<_>>()?,
            links: AnswerLinkServiceClient::new(channel(stack, "notifications")?),
            seen: stack.ledger.sender(),
            history: Arc::default(),
            in_flight: Arc::default(),
            dropped: Arc::default(),
        })
    }

    /// Calls under way now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls that clients gave up in the middle.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whistles acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.history().whistles.len()
    }

    pub(super) fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the whole load; ends when the last outcome is known.
    pub async fn run(&self) -> History {
        let began = tokio::time::Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..self.load.whistles {
            tokio::time::sleep_until(began + self.load.until(number)).await;
            let driver = self.clone();
            tasks.spawn(async move { driver.whistle(number).await });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.history().unresolved.push(format!("{error:#}")),
                Err(panic) => self.history().unresolved.push(panic.to_string()),
            }
        }
        std::mem::take(&mut *self.history())
    }

    async fn whistle(&self, number: usize) -> anyhow::Result<()> {
        let mut rng = StdRng::seed_from_u64(self.load.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64);
        // Before it is blown: the first SMS may be faster than the answer.
        let sms = self.seen.subscribe();
        let blown = self.blow(&mut rng, number).await?;
        let blown_at = blown.blow_time.as_ref().and_then(time).context("no T0")?;
        let units: Vec<Uuid> = blown.assignments.iter().map(|one| one.unit_id.parse()).collect::<Result<_, _>>()?;
        let id: Uuid = blown.whistle_id.parse()?;
        let withdrawn = rng.random_bool(0.08).then(|| self.load.hour * rng.random_range(0..16));
        let known = |(assignment, unit): (_, &Uuid)| known(assignment, self.people.number(*unit)?, withdrawn.is_some());
        let mut assignments = blown.assignments.iter().zip(&units).map(known).collect::<anyhow::Result<Vec<_>>>()?;
        let mut deeds = JoinSet::new();
        for (index, assignment) in assignments.iter().enumerate() {
            let (driver, assignment, unit, sms) = (self.clone(), assignment.clone(), units[index], sms.resubscribe());
            let deed = self.deed(&mut rng);
            let rng = StdRng::seed_from_u64(rng.random());
            deeds.spawn(async move { (index, driver.act(assignment, unit, blown_at, deed, sms, rng).await) });
        }
        let mut taken_back = false;
        if let Some(after) = withdrawn {
            until(blown_at + after).await;
            taken_back = self.withdraw(&mut rng, id, &mut assignments, number).await?;
        }
        let mut done = true;
        while let Some(ended) = deeds.join_next().await {
            let (index, acted) = ended?;
            let (stopped_at, finished) = acted?;
            // Who answered before the withdrawal had stopped the ladder already.
            assignments[index].stopped_at = stopped_at.or(assignments[index].stopped_at);
            assignments[index].handed_in = finished;
            done &= finished;
        }
        let closed = done && withdrawn.is_none() && self.confirm(&mut rng, &mut assignments, number).await?;
        self.history().whistles.push(Whistle { id, blown_at, assignments, closed, withdrawn: taken_back });
        Ok(())
    }

    fn deed(&self, rng: &mut StdRng) -> Deed {
        let hour = self.load.hour;
        let rung = [0, 1, 4, 15][rng.random_range(0..4)];
        let millisecond = TimeDelta::milliseconds(1);
        match rng.random_range(0..100) {
            0..12 => Deed::Silent,
            12..20 => Deed::Taps,
            // As near to a rung as a call can be aimed; the recorded time decides.
            20..26 => Deed::Answers(hour * rung - millisecond * rng.random_range(1..20)),
            26..32 => Deed::Answers(hour * rung),
            32..38 => Deed::Answers(hour * rung + millisecond),
            38..42 => Deed::Answers(hour * rng.random_range(0..160) / 10),
            // Most units answer before anything happens.
            _ => Deed::Answers(hour * rng.random_range(0..10) / 10),
        }
    }

    async fn blow(&self, rng: &mut StdRng, number: usize) -> anyhow::Result<dispatch::BlowWhistleResponse> {
        let role = |index| if index == 0 { common::AssignmentRole::Lead } else { common::AssignmentRole::Supporting };
        let units = self.people.some_units(rng);
        let assignees = units.iter().enumerate();
        let request = dispatch::BlowWhistleRequest {
            request_id: draw(rng),
            subject: Some(Subject::GrievanceId(
                self.people.grievances[number % self.people.grievances.len()].to_string(),
            )),
            area: self.people.area(number),
            matter: MATTER.into(),
            title: "示例事项".into(),
            place: "示例小区".into(),
            difficulty: common::Difficulty::Complex.into(),
            assignees: assignees
                .map(|(i, unit)| Assignee { unit_id: unit.to_string(), role: role(i).into() })
                .collect(),
            handle_due_time: Some(timestamp(local::now() + TimeDelta::days(3))),
            policy_version: self.policy,
        };
        let client = self.whistles[number % self.whistles.len()].clone();
        let street = self.people.street(number);
        let call = |request| {
            let mut client = client.clone();
            async move { client.blow_whistle(request).await }
        };
        let answer = self.sure(rng, street, &request, call, (BLOW, &request.request_id)).await?;
        self.other_body(rng, street, &request, client.clone()).await;
        Ok(answer?)
    }

    /// Acts for a unit; tells when its ladder stopped, and whether it handed in.
    async fn act(
        &self,
        assignment: Assignment,
        unit: Uuid,
        blown_at: DateTime<Utc>,
        deed: Deed,
        sms: broadcast::Receiver<Seen>,
        mut rng: StdRng,
    ) -> anyhow::Result<(Option<DateTime<Utc>>, bool)> {
        let who = self.people.unit(unit)?;
        let stopped = match deed {
            Deed::Silent => None,
            Deed::Answers(after) => {
                until(blown_at + after).await;
                self.answer(&mut rng, &who, &assignment).await?
            }
            Deed::Taps => self.tap(&mut rng, &who, &assignment, sms).await?,
        };
        if stopped.is_none() || !rng.random_bool(0.3) {
            return Ok((stopped, false));
        }
        let submit = dispatch::SubmitAssignmentRequest {
            request_id: draw(&mut rng),
            assignment_id: assignment.id.to_string(),
            result: "已处置".into(),
            evidence: vec![dispatch::Evidence {
                photo_id: assignment.id.to_string(),
                place: "示例小区".into(),
                capture_time: Some(timestamp(local::now())),
            }],
        };
        let client = self.whistles[0].clone();
        let call = |request| {
            let mut client = client.clone();
            async move { client.submit_assignment(request).await }
        };
        match self.sure(&mut rng, &who, &submit, call, (SUBMIT, &submit.assignment_id)).await? {
            Ok(_) => Ok((stopped, true)),
            Err(refused) => Ok((stopped.or(self.refused("SubmitAssignment", &assignment, &refused)), false)),
        }
    }

    async fn answer(
        &self,
        rng: &mut StdRng,
        who: &Somebody,
        assignment: &Assignment,
    ) -> anyhow::Result<Option<DateTime<Utc>>> {
        let request = dispatch::AnswerAssignmentRequest {
            request_id: draw(rng),
            assignment_id: assignment.id.to_string(),
            responsible_person: "王工".into(),
        };
        let client = self.whistles[rng.random_range(0..self.whistles.len())].clone();
        let call = |request| {
            let mut client = client.clone();
            async move { client.answer_assignment(request).await }
        };
        match self.sure(rng, who, &request, call, (ANSWER, &request.assignment_id)).await? {
            Ok(answered) => Ok(stop_of(&answered.update_time)),
            Err(refused) => Ok(self.refused("AnswerAssignment", assignment, &refused)),
        }
    }

    /// Waits for the first SMS and taps its link; answers by the unit's own system when the SMS is too long in coming.
    async fn tap(
        &self,
        rng: &mut StdRng,
        who: &Somebody,
        assignment: &Assignment,
        mut sms: broadcast::Receiver<Seen>,
    ) -> anyhow::Result<Option<DateTime<Utc>>> {
        let name = format!("{}/1/sms/duty", assignment.ladder);
        let id = Uuid::new_v5(&assignment.id, name.as_bytes()).to_string();
        let link = async {
            loop {
                match sms.recv().await {
                    Ok(seen) if seen.kind == Kind::Sms && seen.id == id => return token(&seen.text),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        };
        let Ok(Some(token)) = tokio::time::timeout(Duration::from_secs(20), link).await else {
            return self.answer(rng, who, assignment).await;
        };
        let request = AnswerByLinkRequest { token, responsible_person: "值班员".into() };
        let client = self.links.clone();
        let call = |request| {
            let mut client = client.clone();
            async move { client.answer_by_link(request).await }
        };
        match self.sure(rng, who, &request, call, (TAP, &assignment.id.to_string())).await? {
            Ok(answered) => Ok(answered.answer_time.as_ref().and_then(time)),
            Err(refused) => Ok(self.refused("AnswerByLink", assignment, &refused)),
        }
    }

    /// Withdrawn meanwhile: the withdrawal says when. For no other reason may a unit be refused.
    fn refused<T>(&self, call: &str, assignment: &Assignment, why: &Status) -> Option<T> {
        if why.code() != Code::FailedPrecondition || !assignment.withdrawn {
            self.history().complaints.push(format!("{call} of assignment {} was refused: {why}", assignment.id));
        }
        None
    }

    async fn withdraw(
        &self,
        rng: &mut StdRng,
        id: Uuid,
        assignments: &mut [Assignment],
        number: usize,
    ) -> anyhow::Result<bool> {
        let request = dispatch::WithdrawWhistleRequest {
            request_id: draw(rng),
            whistle_id: id.to_string(),
            reason: "误报".into(),
        };
        let client = self.whistles[number % self.whistles.len()].clone();
        let call = |request| {
            let mut client = client.clone();
            async move { client.withdraw_whistle(request).await }
        };
        match self.sure(rng, self.people.street(number), &request, call, (WITHDRAW, &request.whistle_id)).await? {
            Ok(withdrawn) => {
                assignments.iter_mut().for_each(|assignment| assignment.stopped_at = stop_of(&withdrawn.update_time));
                Ok(true)
            }
            Err(refused) => {
                self.history().complaints.push(format!("the withdrawal of {id} was refused: {refused}"));
                Ok(false)
            }
        }
    }

    /// Confirms every assignment; says whether all of them are.
    async fn confirm(&self, rng: &mut StdRng, assignments: &mut [Assignment], number: usize) -> anyhow::Result<bool> {
        let client = self.whistles[number % self.whistles.len()].clone();
        for assignment in assignments.iter_mut() {
            let request =
                dispatch::ConfirmAssignmentRequest { request_id: draw(rng), assignment_id: assignment.id.to_string() };
            let call = |request| {
                let mut client = client.clone();
                async move { client.confirm_assignment(request).await }
            };
            let confirmed =
                self.sure(rng, self.people.street(number), &request, call, (CONFIRM, &request.assignment_id)).await?;
            assignment.confirmed =
                confirmed.map_err(|refused| self.refused::<()>("ConfirmAssignment", assignment, &refused)).is_ok();
        }
        Ok(assignments.iter().all(|assignment| assignment.confirmed))
    }
}

fn known(assignment: &dispatch::BlownAssignment, unit: usize, withdrawn: bool) -> anyhow::Result<Assignment> {
    Ok(Assignment {
        id: assignment.assignment_id.parse()?,
        ladder: assignment.ladder_id.parse()?,
        unit,
        stopped_at: None,
        handed_in: false,
        confirmed: false,
        withdrawn,
    })
}

/// When the ladder stopped: at the very instant of what stopped it.
fn stop_of(done: &Option<prost_types::Timestamp>) -> Option<DateTime<Utc>> {
    done.as_ref().and_then(time)
}

fn token(text: &str) -> Option<String> {
    text.rsplit_once("/a/").map(|(_, token)| token.trim().to_owned())
}
