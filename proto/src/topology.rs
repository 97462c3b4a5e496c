//! The one table event -> subject: who states a fact, about what, and who hears it.
//!
//! A publisher deletes nothing that a consumer named here has not confirmed, and gives each consumer exactly these
//! subjects when it catches up.

use crate::events::v1::*;

/// A fact that a service publishes.
pub trait Event: prost::Message + Default {
    /// Subject on NATS and `type` of the CloudEvent.
    const SUBJECT: &'static str;

    /// Id of what the fact is about; later facts about it never overtake a parked one.
    fn aggregate(&self) -> &str;
}

/// One row of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// `haiqu.<service>.<noun>.<fact>.v1`
    pub subject: &'static str,
    /// The services that hear it.
    pub consumers: &'static [&'static str],
}

impl Topic {
    /// The service that publishes it.
    pub fn publisher(&self) -> &'static str {
        self.subject.split('.').nth(1).unwrap_or_default()
    }
}

/// The subjects that `consumer` hears from `publisher`.
pub fn subjects(publisher: &str, consumer: &str) -> Vec<&'static str> {
    let heard = |topic: &&Topic| topic.publisher() == publisher && topic.consumers.contains(&consumer);
    TOPOLOGY.iter().filter(heard).map(|topic| topic.subject).collect()
}

/// The consumers of anything that `publisher` says.
pub fn consumers(publisher: &str) -> Vec<&'static str> {
    let own = TOPOLOGY.iter().filter(|topic| topic.publisher() == publisher);
    let mut names: Vec<_> = own.flat_map(|topic| topic.consumers.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

macro_rules! topology {
    ($($subject:literal $event:ident($aggregate:ident) => [$($consumer:literal),*];)*) => {
        /// Every fact, in the order of the loop.
        pub const TOPOLOGY: &[Topic] = &[$(Topic { subject: $subject, consumers: &[$($consumer),*] }),*];

        $(impl Event for $event {
            const SUBJECT: &'static str = $subject;

            fn aggregate(&self) -> &str {
                &self.$aggregate
            }
        })*
    };
}

topology! {
    "haiqu.residents.resident.registered.v1" ResidentRegistered(resident_id) => [];
    "haiqu.grievances.grievance.submitted.v1" GrievanceSubmitted(grievance_id) => [];
    "haiqu.grievances.grievance.reviewed.v1" GrievanceReviewed(grievance_id) => [];
    "haiqu.grievances.grievance.graded.v1" GrievanceGraded(grievance_id) => ["dispatch"];
    "haiqu.dispatch.whistle.blown.v1" WhistleBlown(whistle_id) => ["grievances", "oversight"];
    "haiqu.dispatch.rung.fired.v1" RungFired(whistle_id) => ["notifications", "oversight"];
    "haiqu.dispatch.assignment.answered.v1" AssignmentAnswered(whistle_id) => ["grievances", "oversight"];
    "haiqu.dispatch.assignment.submitted.v1" AssignmentSubmitted(whistle_id) => ["grievances", "oversight"];
    "haiqu.dispatch.assignment.returned.v1" AssignmentReturned(whistle_id) => ["grievances"];
    "haiqu.dispatch.card.annulled.v1" CardAnnulled(whistle_id) => ["oversight"];
    "haiqu.dispatch.whistle.withdrawn.v1" WhistleWithdrawn(whistle_id) => ["grievances", "oversight"];
    "haiqu.dispatch.whistle.closed.v1" WhistleClosed(whistle_id) => ["grievances", "oversight"];
    "haiqu.notifications.message.accepted.v1" MessageAccepted(whistle_id) => ["oversight"];
    "haiqu.notifications.call.recorded.v1" CallRecorded(whistle_id) => ["oversight"];
    "haiqu.oversight.case.pushed.v1" CasePushed(whistle_id) => [];
}
