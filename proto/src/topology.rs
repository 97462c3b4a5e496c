//! The one table event -> subject: who publishes an event, about what, and who subscribes to it.
//!
//! A publisher deletes nothing that a consumer named here has not confirmed, and gives each consumer exactly these subjects when it
//! catches up. A subject that nobody subscribes to is numbered in the log, for whoever watches, and not sent to NATS.

use crate::events::v1::*;

/// An event that a service publishes.
pub trait Event: prost::Message + Default {
    /// Subject on NATS and `type` of the CloudEvent.
    const SUBJECT: &'static str;

    /// Id of what the event is about; later events about it never overtake a parked one.
    fn aggregate(&self) -> &str;

    /// Grows with every change of it; of what happens to a thing once (a rung, a message), its number or 1.
    fn version(&self) -> i64;

    /// Who did it.
    fn actor(&self) -> Option<&Actor>;

    /// The event with who did it.
    fn by(self, actor: Actor) -> Self;
}

/// One row of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// `haiqu.<service>.<noun>.<event>.v1`
    pub subject: &'static str,
    /// The services that subscribe to it.
    pub consumers: &'static [&'static str],
}

impl Topic {
    /// The service that publishes it.
    pub fn publisher(&self) -> &'static str {
        self.subject.split('.').nth(1).unwrap_or_default()
    }
}

/// The subjects that `consumer` takes from `publisher`.
pub fn subjects(publisher: &str, consumer: &str) -> Vec<&'static str> {
    let taken = |topic: &&Topic| topic.publisher() == publisher && topic.consumers.contains(&consumer);
    TOPOLOGY.iter().filter(taken).map(|topic| topic.subject).collect()
}

/// The consumers of anything that `publisher` publishes.
pub fn consumers(publisher: &str) -> Vec<&'static str> {
    let own = TOPOLOGY.iter().filter(|topic| topic.publisher() == publisher);
    let mut names: Vec<_> = own.flat_map(|topic| topic.consumers.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether anybody subscribes to it.
pub fn has_consumers(subject: &str) -> bool {
    TOPOLOGY.iter().any(|topic| topic.subject == subject && !topic.consumers.is_empty())
}

fn whistle(of: Option<&WhistleRef>) -> &str {
    of.map_or("", |whistle| &whistle.whistle_id)
}

macro_rules! topology {
    ($($subject:literal $event:ident($own:ident => $aggregate:expr) => [$($consumer:literal),*];)*) => {
        /// Every event, in the order of the loop.
        pub const TOPOLOGY: &[Topic] = &[$(Topic { subject: $subject, consumers: &[$($consumer),*] }),*];

        $(impl Event for $event {
            const SUBJECT: &'static str = $subject;

            fn aggregate(&self) -> &str {
                let $own = self;
                $aggregate
            }

            fn version(&self) -> i64 {
                self.version
            }

            fn actor(&self) -> Option<&Actor> {
                self.actor.as_ref()
            }

            fn by(self, actor: Actor) -> Self {
                Self { actor: Some(actor), ..self }
            }
        })*
    };
}

topology! {
    "haiqu.residents.resident.registered.v1" ResidentRegistered(e => &e.resident_id) => [];
    "haiqu.grievances.grievance.submitted.v1" GrievanceSubmitted(e => &e.grievance_id) => [];
    "haiqu.grievances.review_stage.recorded.v1" ReviewStageRecorded(e => &e.grievance_id) => [];
    "haiqu.grievances.grievance.reviewed.v1" GrievanceReviewed(e => &e.grievance_id) => [];
    "haiqu.grievances.grievance.progressed.v1" GrievanceProgressed(e => &e.grievance_id) => [];
    "haiqu.grievances.grievance.graded.v1" GrievanceGraded(e => &e.grievance_id) => ["dispatch"];
    "haiqu.dispatch.whistle.blown.v1" WhistleBlown(e => whistle(e.whistle.as_ref())) => ["grievances", "oversight"];
    "haiqu.dispatch.rung.fired.v1" RungFired(e => whistle(e.whistle.as_ref())) => ["notifications", "oversight"];
    "haiqu.dispatch.assignment.answered.v1" AssignmentAnswered(e => whistle(e.whistle.as_ref())) => ["grievances", "oversight"];
    "haiqu.dispatch.assignment.submitted.v1" AssignmentSubmitted(e => whistle(e.whistle.as_ref())) => ["grievances", "oversight"];
    "haiqu.dispatch.assignment.graded.v1" AssignmentGraded(e => whistle(e.whistle.as_ref())) => [];
    "haiqu.dispatch.assignment.returned.v1" AssignmentReturned(e => whistle(e.whistle.as_ref())) => ["grievances"];
    "haiqu.dispatch.assignment.closed.v1" AssignmentClosed(e => whistle(e.whistle.as_ref())) => [];
    "haiqu.dispatch.card.annulled.v1" CardAnnulled(e => whistle(e.whistle.as_ref())) => ["oversight"];
    "haiqu.dispatch.whistle.withdrawn.v1" WhistleWithdrawn(e => whistle(e.whistle.as_ref())) => ["grievances", "oversight"];
    "haiqu.dispatch.whistle.closed.v1" WhistleClosed(e => whistle(e.whistle.as_ref())) => ["grievances", "oversight"];
    "haiqu.dispatch.unit.changed.v1" UnitChanged(e => &e.unit_id) => [];
    "haiqu.dispatch.deputy_mayor.changed.v1" DeputyMayorChanged(e => &e.matter) => [];
    "haiqu.dispatch.policy.created.v1" PolicyCreated(_e => "policies") => [];
    "haiqu.notifications.message.accepted.v1" MessageAccepted(e => &e.whistle_id) => ["oversight"];
    "haiqu.notifications.call.recorded.v1" CallRecorded(e => &e.whistle_id) => ["oversight"];
    "haiqu.oversight.case.released.v1" CaseReleased(e => &e.whistle_id) => [];
    "haiqu.oversight.case.pushed.v1" CasePushed(e => &e.whistle_id) => [];
}
