//! Calls that a named person must make (电话告知并做好记录): asked for by a rung, opened once the callee is known, recorded once.

use foundation::base::Timestamp;
use uuid::Uuid;

use super::Rung;
use super::{CallTaskState, Card, Target};

/// A call that a rung asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The effect's id.
    pub id: Uuid,
    /// What asks for it.
    pub rung: Rung,
    /// The card that it goes with.
    pub card: Option<Card>,
    /// Who calls.
    pub caller: Target,
    /// Who is called.
    pub callee: Target,
}

/// A call task that the desk can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTask {
    /// The effect's id.
    pub id: Uuid,
    /// Its whistle.
    pub whistle: Uuid,
    /// Its assignment.
    pub assignment: Uuid,
    /// Its rung.
    pub rung: i32,
    /// Who is called.
    pub callee: Target,
    /// Its state.
    pub state: CallTaskState,
    /// Grows with every change.
    pub version: i64,
}

/// What the person who called writes down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who called.
    pub caller_name: String,
    /// When.
    pub called_at: Timestamp,
    /// What was said.
    pub said: String,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Records the call of this task.
    Record(Uuid, Record),
}

impl Command {
    /// The task that it is about.
    pub fn id(&self) -> Uuid {
        match self {
            Command::Record(id, _) => *id,
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The call was made.
    Recorded(Record),
}

/// What has become of a call task.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it is now.
    pub task: CallTask,
    /// What has happened to it.
    pub event: Event,
    /// When.
    pub at: Timestamp,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The task is not open.
    #[error("the call task is {}", .0.word())]
    NotOpen(CallTaskState),
    /// The link cannot be used.
    #[error(transparent)]
    Link(#[from] super::link::Unusable),
}

/// What a command does to a call task.
pub fn decide(task: &CallTask, command: Command) -> Result<(CallTask, Event), Refusal> {
    match (command, task.state) {
        (Command::Record(_, record), CallTaskState::Open) => {
            let task = CallTask { state: CallTaskState::Recorded, version: task.version + 1, ..*task };
            Ok((task, Event::Recorded(record)))
        }
        (Command::Record(..), other @ (CallTaskState::Recorded | CallTaskState::Drill)) => Err(Refusal::NotOpen(other)),
    }
}
