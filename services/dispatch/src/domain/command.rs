//! What can be asked of a whistle, what then has happened, and why it is refused.

use foundation::base::Timestamp;
use uuid::Uuid;

use super::ladder::{Fired, Ladder};
use super::{
    AssignmentId, AssignmentState, Card, Difficulty, GrievanceId, LadderId, Outcome, Role, UnitId, WhistleId,
    WhistleState,
};

/// What a whistle is blown with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// Drawn for it.
    pub id: WhistleId,
    /// Over what.
    pub grievance: GrievanceId,
    /// Where it belongs.
    pub area: String,
    /// Which matter.
    pub matter: String,
    /// What the units are told.
    pub title: String,
    /// Where it is.
    pub place: String,
    /// The route.
    pub difficulty: Difficulty,
    /// On whom.
    pub assignees: Vec<Assignee>,
    /// By when it shall be handled.
    pub handle_due_at: Timestamp,
    /// 0 for the newest policy that is no drill.
    pub policy_version: i64,
}

/// A unit that is whistled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignee {
    /// The unit.
    pub unit: UnitId,
    /// Lead or supporting.
    pub role: Role,
    /// Drawn for its assignment.
    pub assignment: AssignmentId,
    /// Drawn for its answer ladder.
    pub ladder: LadderId,
}

/// A photo of what was done, and where and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// Of the grievances service.
    pub photo_id: Uuid,
    /// Where.
    pub place: String,
    /// When.
    pub captured_at: Timestamp,
}

/// Which whistle a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// This one.
    Whistle(WhistleId),
    /// The one that this assignment belongs to.
    Assignment(AssignmentId),
}

/// What can be asked of a whistle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 吹哨
    Blow(Box<Blow>),
    /// The unit answers.
    Answer {
        /// Which assignment.
        assignment: AssignmentId,
        /// Drawn for the handling ladder.
        ladder: LadderId,
        /// Who is responsible on the unit's side.
        responsible_person: String,
    },
    /// The unit hands in.
    Submit {
        /// Which assignment.
        assignment: AssignmentId,
        /// What was done.
        result: String,
        /// What shows it.
        evidence: Vec<Evidence>,
    },
    /// The resident has graded what was handed in; not solved goes back to the units.
    Grade {
        /// Which whistle.
        whistle: WhistleId,
        /// How.
        outcome: Outcome,
        /// Drawn for the handling ladders that may start: each is named by its assignment within it.
        drawn: Uuid,
    },
    /// The street confirms an assignment.
    Confirm {
        /// Which assignment.
        assignment: AssignmentId,
    },
    /// The street takes the whistle back.
    Withdraw {
        /// Which whistle.
        whistle: WhistleId,
        /// Why.
        reason: String,
    },
    /// The centre annuls a card.
    AnnulCard {
        /// Whose card.
        assignment: AssignmentId,
        /// Of which ladder.
        ladder: LadderId,
        /// Of which rung.
        rung: i32,
        /// Why.
        reason: String,
    },
}

impl Command {
    /// Which whistle it is about.
    pub fn key(&self) -> Key {
        match self {
            Command::Blow(blow) => Key::Whistle(blow.id),
            Command::Grade { whistle, .. } | Command::Withdraw { whistle, .. } => Key::Whistle(*whistle),
            Command::Answer { assignment, .. }
            | Command::Submit { assignment, .. }
            | Command::Confirm { assignment }
            | Command::AnnulCard { assignment, .. } => Key::Assignment(*assignment),
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// 吹哨
    Blown(Box<Blow>),
    /// A rung fired.
    Fired(AssignmentId, Fired),
    /// A ladder stopped.
    Stopped(AssignmentId, LadderId),
    /// A ladder started.
    Started(AssignmentId, Ladder),
    /// 应哨, naming who is responsible.
    Answered(AssignmentId, String),
    /// 交卷
    Submitted(AssignmentId, String, Vec<Evidence>),
    /// Graded.
    Graded(AssignmentId, Outcome),
    /// Graded as not solved: the unit handles it again until then.
    Returned(AssignmentId, Timestamp),
    /// Confirmed by the street.
    Closed(AssignmentId),
    /// A card was annulled, for a reason.
    CardAnnulled(AssignmentId, LadderId, i32, Card, String),
    /// The last assignment was closed.
    WhistleClosed,
    /// Taken back, for a reason.
    WhistleWithdrawn(String),
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The whistle is over.
    #[error("the whistle is {}", .0.word())]
    Whistle(WhistleState),
    /// The assignment is in another state.
    #[error("the assignment is {}", .0.word())]
    Assignment(AssignmentState),
    /// No such whistle, assignment, ladder or rung.
    #[error("the whistle has no such assignment or rung")]
    Unknown,
    /// The rung has shown no card, or it is annulled already.
    #[error("there is no card to annul")]
    NoCard,
    /// Handling takes time.
    #[error("must be in the future")]
    PastDeadline,
    /// One grievance has at most one open whistle.
    #[error("an open whistle over grievance {0} exists")]
    OpenAlready(GrievanceId),
    /// Somebody else fired the rung: this transaction must not.
    #[error("a rung has fired already")]
    FiredAlready,
}
