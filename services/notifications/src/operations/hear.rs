//! A rung fired: its reminders and calls are written down under their names, once; sending is another step.

use foundation::clock::Timestamp;
use foundation::{id, telemetry};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Card, Kind, State, Target, Task};
use crate::error::Error;
use crate::store::{self, NewMessage};

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

/// Writes down what the rung asks for.
pub async fn rung_fired(tx: &mut PgConnection, rung: &Rung) -> Result<(), Error> {
    for asked in &rung.asked {
        match *asked {
            Asked::Sms { id, text, target } => {
                let state = if rung.drill { State::Drill } else { State::Queued };
                let message = NewMessage { id, text, target, state, traceparent: telemetry::traceparent() };
                store::add_message(tx, rung, &message).await?;
            }
            Asked::Call { id, card, caller, callee } => {
                let state = if rung.drill { Task::Drill } else { Task::Resolving };
                sqlx::query!(
                    "insert into call_task (id, whistle_id, assignment_id, ladder_id, rung, card, caller, callee, state,
                                            due_at, list_id, ladder_kind)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (id) do nothing",
                    id,
                    rung.whistle,
                    rung.assignment,
                    rung.ladder,
                    rung.number,
                    card.map(Card::word),
                    caller.word(),
                    callee.word(),
                    state.word(),
                    rung.due_at,
                    id::new(),
                    rung.kind.word()
                )
                .execute(&mut *tx)
                .await?;
            }
        }
    }
    Ok(())
}
