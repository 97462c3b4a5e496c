//! W2: BlowWhistle over gRPC, with tokens and request ids, by many callers at once; and W3: from the call to the first SMS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::TimeDelta;
use local::people::{channel, request_id};
use local::scenario::timestamp;
use local::stack::Stack;
use proto::common::v1 as common;
use proto::dispatch::v1 as dispatch;
use proto::dispatch::v1::blow_whistle_request::{Assignee, Subject};
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use system_tests::faults::people::{MATTER, People};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use uuid::Uuid;

/// Who blows, and over what.
#[derive(Clone)]
pub struct Callers {
    people: Arc<People>,
    clients: Vec<WhistleServiceClient<Channel>>,
    next: Arc<AtomicUsize>,
    /// Whether they blow over the people's grievances: there are only so many.
    raised: bool,
}

impl Callers {
    /// Over grievances that nobody has raised, where nobody receives the whistle's events.
    pub fn alone(stack: &Stack, people: Arc<People>) -> anyhow::Result<Callers> {
        Callers::new(stack, people, false)
    }

    /// Over the people's grievances, one after the other.
    pub fn received(stack: &Stack, people: Arc<People>) -> anyhow::Result<Callers> {
        Callers::new(stack, people, true)
    }

    fn new(stack: &Stack, people: Arc<People>, raised: bool) -> anyhow::Result<Callers> {
        let client = |_| Ok(WhistleServiceClient::new(channel(stack, "dispatch")?));
        let clients = (0..8).map(client).collect::<anyhow::Result<_>>()?;
        Ok(Callers { people, clients, next: Arc::default(), raised })
    }

    /// Blows the next whistle on one unit or, every other time, on two; returns its number.
    pub async fn blow(&self) -> anyhow::Result<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let grievance = match self.raised {
            true => *self.people.grievances.get(number).context("there are no more grievances")?,
            false => Uuid::now_v7(),
        };
        let assignee =
            |unit: &Uuid, role: common::AssignmentRole| Assignee { unit_id: unit.to_string(), role: role.into() };
        let units = self.people.units();
        let mut assignees = vec![assignee(&units[number % units.len()], common::AssignmentRole::Lead)];
        if number % 2 == 1 {
            assignees.push(assignee(&units[(number + 1) % units.len()], common::AssignmentRole::Supporting));
        }
        let request = dispatch::BlowWhistleRequest {
            request_id: request_id(),
            subject: Some(Subject::GrievanceId(grievance.to_string())),
            area: self.people.area(number),
            matter: MATTER.into(),
            title: format!("示例事项{number}"),
            place: "示例小区".into(),
            difficulty: common::Difficulty::Complex.into(),
            assignees,
            handle_due_time: Some(timestamp(local::now() + TimeDelta::days(30))),
            policy_version: 0,
        };
        let request = self.people.street(number).request(request);
        self.clients[number % self.clients.len()].clone().blow_whistle(request).await?;
        Ok(number)
    }

    /// As many as so many callers can, each with one call under way; a second.
    #[expect(clippy::cast_precision_loss, reason = "a count of calls is small")]
    pub async fn as_many_as_possible(&self, callers: usize, time: Duration) -> anyhow::Result<f64> {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        for _ in 0..callers {
            let callers = self.clone();
            tasks.spawn(async move {
                let mut blown = 0_usize;
                while began.elapsed() < time {
                    callers.blow().await?;
                    blown += 1;
                }
                anyhow::Ok(blown)
            });
        }
        let mut blown = 0;
        while let Some(ended) = tasks.join_next().await {
            blown += ended??;
        }
        Ok(blown as f64 / began.elapsed().as_secs_f64())
    }
}
