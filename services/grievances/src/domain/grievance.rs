//! The loop as a grievance sees it: raised, reviewed in three stages, then what its whistle's events say, graded, closed.

use foundation::base::{Actor, Timestamp};
use uuid::Uuid;

use super::{Difficulty, GrievanceId, Outcome, PhotoId, Satisfaction, Stage, State};

/// A grievance, as far as decisions and announcements need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grievance {
    /// Its id.
    pub id: GrievanceId,
    /// Smallest known area.
    pub area: String,
    /// Whose matter it is: may follow and grade it.
    pub owner: String,
    /// Who handed it in.
    pub submitter: String,
    /// Its state.
    pub state: State,
    /// The street's review so far.
    pub review: Review,
    /// The newest whistle, and the newest event received of it.
    pub whistle: Option<Whistle>,
    /// The matter that it was whistled under.
    pub matter: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

/// The street's review; none where a stage is not recorded yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// 一审职责: whose duty it is, the lead first.
    pub units: Option<Vec<Uuid>>,
    /// 二审难度
    pub difficulty: Option<Difficulty>,
    /// 三审时效
    pub handle_due_at: Option<Timestamp>,
}

/// How far a whistle has come, as its events say: ordered by T0, so that the newest event of the newest whistle is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whistle {
    /// T0.
    pub blown_at: Timestamp,
    /// Its id.
    pub id: Uuid,
    /// Version of the event.
    pub version: i64,
}

/// A grievance to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// Drawn for it.
    pub id: GrievanceId,
    /// The column it comes by.
    pub channel: String,
    /// What it is about.
    pub text: String,
    /// Where.
    pub place: String,
    /// Smallest known area.
    pub area: String,
    /// Uploaded before.
    pub photos: Vec<PhotoId>,
    /// The outside system and its number there.
    pub source: Option<(String, String)>,
    /// Whose matter it is, where somebody else hands it in.
    pub resident: Option<String>,
}

/// A stage of the review with what it records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Whose duty it is, the lead first.
    Duty(Vec<Uuid>),
    /// How difficult it is.
    Difficulty(Difficulty),
    /// By when it shall be handled.
    TimeLimit(Timestamp),
}

impl Recorded {
    /// Which stage.
    pub fn stage(&self) -> Stage {
        match self {
            Recorded::Duty(_) => Stage::Duty,
            Recorded::Difficulty(_) => Stage::Difficulty,
            Recorded::TimeLimit(_) => Stage::TimeLimit,
        }
    }
}

/// How the resident grades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grade {
    /// Solved or not.
    pub outcome: Outcome,
    /// Satisfied or not.
    pub satisfaction: Satisfaction,
    /// What the resident adds.
    pub remark: String,
}

/// How far the whistle over it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which grievance.
    pub grievance: GrievanceId,
    /// The whistle's area.
    pub area: String,
    /// Its matter, where it has just been blown.
    pub matter: Option<String>,
    /// The whistle and the event's version.
    pub whistle: Whistle,
    /// What that makes of the grievance.
    pub state: State,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 出卷
    Raise(Box<New>),
    /// A stage of the review.
    Review(GrievanceId, Recorded),
    /// 评卷
    Grade(GrievanceId, Grade),
    /// An event of the whistle over it.
    Progress(Progress),
}

impl Command {
    /// Which grievance it is about.
    pub fn id(&self) -> GrievanceId {
        match self {
            Command::Raise(new) => new.id,
            Command::Review(id, _) | Command::Grade(id, _) => *id,
            Command::Progress(progress) => progress.grievance,
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// 出卷
    Raised(Box<New>),
    /// A stage was recorded.
    Recorded(Recorded),
    /// It was the last one.
    Reviewed(Difficulty),
    /// The resident graded.
    Graded(Grade),
    /// The whistle over it has come further.
    Progressed,
}

/// What has become of a grievance.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it is now.
    pub grievance: Grievance,
    /// What has happened, in order; nothing where the command came too late.
    pub events: Vec<Event>,
    /// When.
    pub at: Timestamp,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The loop is at another step.
    #[error("the grievance is {}", .0.word())]
    State(State),
    /// The stages come in order: duty, difficulty, time limit.
    #[error("the next review stage is {}", .0.word())]
    Stage(Stage),
    /// A whistle needs a unit.
    #[error("stage duty names no unit, and this difficulty needs a whistle")]
    NoUnit,
    /// Handling takes time.
    #[error("must be in the future")]
    PastDeadline,
    /// A resident hands in what is theirs.
    #[error("must be your own, or empty")]
    AnotherResident,
    /// Others have no work orders.
    #[error("is for the hotline and the centre")]
    NoSource,
    /// The source has handed this number in before.
    #[error("the source has handed this number in before")]
    SourceUsed,
    /// The whistle is of another part of the district.
    #[error("no such grievance in the whistle's area")]
    OtherArea,
    /// There is none.
    #[error("no such grievance")]
    Unknown,
}

/// What a command makes of a grievance, or of none yet, at an instant and in somebody's name; or why it does nothing.
pub fn decide(
    grievance: Option<&Grievance>,
    command: Command,
    by: &Actor,
    now: Timestamp,
) -> Result<(Grievance, Vec<Event>), Refusal> {
    let Some(before) = grievance else {
        return match command {
            Command::Raise(new) => raised(new, by),
            Command::Review(..) | Command::Grade(..) | Command::Progress(..) => Err(Refusal::Unknown),
        };
    };
    match command {
        Command::Raise(_) => Err(Refusal::SourceUsed),
        Command::Review(_, recorded) => reviewed(before, recorded, now),
        Command::Grade(_, grade) => {
            Ok((Grievance { state: graded(before)?, ..before.next() }, vec![Event::Graded(grade)]))
        }
        Command::Progress(progress) => progressed(before, progress),
    }
}

fn raised(new: Box<New>, by: &Actor) -> Result<(Grievance, Vec<Event>), Refusal> {
    let owner = new.resident.clone().unwrap_or_else(|| by.subject.clone());
    if by.role == "resident" && owner != by.subject {
        return Err(Refusal::AnotherResident);
    }
    if new.source.is_some() && !matches!(by.role.as_str(), "hotline" | "centre") {
        return Err(Refusal::NoSource);
    }
    let grievance = Grievance {
        id: new.id,
        area: new.area.clone(),
        owner,
        submitter: by.subject.clone(),
        state: State::Raised,
        review: Review::default(),
        whistle: None,
        matter: None,
        version: 1,
    };
    Ok((grievance, vec![Event::Raised(new)]))
}

fn reviewed(before: &Grievance, recorded: Recorded, now: Timestamp) -> Result<(Grievance, Vec<Event>), Refusal> {
    match before.state {
        State::Raised => before.review.expects(recorded.stage())?,
        State::Reviewed | State::Whistled | State::Handling | State::Submitted | State::Graded | State::Closed => {
            return Err(Refusal::State(before.state));
        }
    }
    let mut after = before.next();
    let mut events = vec![Event::Recorded(recorded.clone())];
    match recorded {
        Recorded::Duty(units) => after.review.units = Some(units),
        Recorded::Difficulty(difficulty) => {
            if difficulty.needs_whistle() && before.review.units.as_ref().is_none_or(Vec::is_empty) {
                return Err(Refusal::NoUnit);
            }
            after.review.difficulty = Some(difficulty);
        }
        Recorded::TimeLimit(until) if until <= now => return Err(Refusal::PastDeadline),
        Recorded::TimeLimit(until) => {
            let difficulty = before.review.difficulty.ok_or(Refusal::Stage(Stage::Difficulty))?;
            after.review.handle_due_at = Some(until);
            after.state = State::Reviewed;
            events.push(Event::Reviewed(difficulty));
        }
    }
    Ok((after, events))
}

impl Grievance {
    fn next(&self) -> Grievance {
        Grievance { version: self.version + 1, ..self.clone() }
    }
}

impl Review {
    fn expects(&self, stage: Stage) -> Result<(), Refusal> {
        let next = match (&self.units, self.difficulty) {
            (None, _) => Stage::Duty,
            (Some(_), None) => Stage::Difficulty,
            (Some(_), Some(_)) => Stage::TimeLimit,
        };
        if next == stage { Ok(()) } else { Err(Refusal::Stage(next)) }
    }
}

/// What a grade makes of it. What the community handles itself has no whistle that could close it: its grade does.
fn graded(grievance: &Grievance) -> Result<State, Refusal> {
    match grievance.state {
        State::Submitted => Ok(State::Graded),
        State::Reviewed if !grievance.review.difficulty.is_some_and(Difficulty::needs_whistle) => Ok(State::Closed),
        State::Raised | State::Reviewed | State::Whistled | State::Handling | State::Graded | State::Closed => {
            Err(Refusal::State(grievance.state))
        }
    }
}

/// The newest event of the newest whistle decides, whatever order they come in; an older one changes nothing. A whistle of another area
/// says nothing here, and before its review a grievance has no whistle.
fn progressed(before: &Grievance, progress: Progress) -> Result<(Grievance, Vec<Event>), Refusal> {
    let same_branch = before.area.starts_with(&progress.area) || progress.area.starts_with(&before.area);
    if progress.area.is_empty() || !same_branch {
        return Err(Refusal::OtherArea);
    }
    match before.state {
        State::Raised => Err(Refusal::State(State::Raised)),
        State::Reviewed | State::Whistled | State::Handling | State::Submitted | State::Graded | State::Closed => {
            if before.whistle >= Some(progress.whistle) {
                // The first event of a whistle may come last; it alone names the matter.
                let newest = before.whistle.is_some_and(|known| known.id == progress.whistle.id);
                return Ok(match progress.matter.filter(|matter| newest && before.matter.as_ref() != Some(matter)) {
                    Some(matter) => (Grievance { matter: Some(matter), ..before.next() }, vec![Event::Progressed]),
                    None => (before.clone(), Vec::new()),
                });
            }
            let matter = progress.matter.or_else(|| before.matter.clone());
            let after = Grievance { state: progress.state, whistle: Some(progress.whistle), matter, ..before.next() };
            Ok((after, vec![Event::Progressed]))
        }
    }
}

#[cfg(test)]
#[path = "grievance_tests.rs"]
mod tests;
