//! Rungs fired: their reminders and calls are written down under their names, once; sending is another step.

use foundation::clock::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Card, Kind, State, Target, Task};
use crate::error::Error;
use crate::store::{self, NewMessage, NewTask};

/// What was heard of a rung.
#[derive(Debug, Clone)]
pub struct Rung {
    /// The whistle.
    pub whistle: Uuid,
    /// The unit's share.
    pub assignment: Uuid,
    /// The ladder.
    pub ladder: Uuid,
    /// What it guards.
    pub kind: Kind,
    /// From 1.
    pub number: i32,
    /// When it was due.
    pub due_at: Timestamp,
    /// Milliseconds.
    pub check_after_ms: i64,
    /// Nothing may leave the house.
    pub drill: bool,
    /// What it asks of this service.
    pub asked: Vec<Asked>,
    /// Trace of what fired it.
    pub traceparent: Option<String>,
}

/// One effect.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// A reminder.
    Sms {
        /// Its name.
        id: Uuid,
        /// Which text.
        text: i32,
        /// To whom.
        target: Target,
    },
    /// A call.
    Call {
        /// Its name.
        id: Uuid,
        /// The card it goes with.
        card: Option<Card>,
        /// Who calls.
        caller: Target,
        /// Who is called.
        callee: Target,
    },
}

/// Writes down what these rungs ask for.
pub async fn rungs_fired(tx: &mut PgConnection, rungs: &[Rung]) -> Result<(), Error> {
    let (mut messages, mut tasks) = (Vec::new(), Vec::new());
    for rung in rungs {
        for asked in &rung.asked {
            match *asked {
                Asked::Sms { id, text, target } => {
                    let state = if rung.drill { State::Drill } else { State::Queued };
                    messages.push(NewMessage { rung, id, text, target, state });
                }
                Asked::Call { id, card, caller, callee } => {
                    let state = if rung.drill { Task::Drill } else { Task::Resolving };
                    tasks.push(NewTask { rung, id, card, caller, callee, state });
                }
            }
        }
    }
    store::add_messages(tx, &messages).await?;
    Ok(store::add_tasks(tx, &tasks).await?)
}
