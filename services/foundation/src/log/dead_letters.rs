//! Looking after events that could not be applied: `haiqu dead-letters list` shows them, `replay` asks the running service to
//! apply them again, in the order they arrived, `discard` gives one up. Payloads are not shown.

use std::io::Write as _;

use clap::Subcommand;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::base::{Actor, Timestamp};
use crate::data::history::{self, Entry};

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// One line each: event, subject, aggregate, when, why.
    List,
    /// Apply the parked events of an aggregate again, or all of them.
    Replay {
        /// Only those about this.
        #[arg(long)]
        aggregate: Option<Uuid>,
    },
    /// Give up one parked event for good; those behind it can then be replayed.
    Discard {
        /// Its id, as the list shows it.
        event: Uuid,
        /// Why; it stays on record.
        #[arg(long)]
        reason: String,
    },
}

/// Whoever has the database's password.
fn ops() -> Actor {
    Actor::new("haiqu dead-letters", "ops")
}

/// Works on the service's database directly, so that it helps when the service does not run.
pub async fn run(url: &SecretString, action: Action) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url.expose_secret()).await?;
    // What is done and its row of history are one.
    let (mut tx, mut out) = (connection.begin().await?, std::io::stdout());
    match action {
        Action::List => {
            for row in parked(&mut tx).await? {
                let Parked { event_id, subject, aggregate_id, received_at, reason } = row;
                writeln!(out, "{event_id}\t{subject}\t{aggregate_id}\t{received_at}\t{}", reason.unwrap_or_default())?;
            }
        }
        Action::Replay { aggregate } => {
            let aggregate = aggregate.map(|id| id.to_string());
            let asked = ask_replay(&mut tx, aggregate.as_deref(), &ops()).await?;
            writeln!(out, "{asked} events will be applied again by the running service")?;
        }
        Action::Discard { event, reason } => match discard(&mut tx, event, &ops(), &reason).await? {
            true => writeln!(out, "{event} is given up")?,
            false => anyhow::bail!("no parked event {event}"),
        },
    }
    tx.commit().await?;
    Ok(connection.close().await?)
}

/// An event that could not be applied.
#[derive(Debug)]
pub struct Parked {
    /// CloudEvents id.
    pub event_id: Uuid,
    /// CloudEvents type.
    pub subject: String,
    /// What it is about.
    pub aggregate_id: String,
    /// When it was parked.
    pub received_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// What is parked, oldest first, at most 1000.
pub async fn parked(connection: &mut PgConnection) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        r#"select event_id, subject, aggregate_id as "aggregate_id!", received_at, reason from inbox where state <> 'done' order by arrival limit 1000"#
    )
    .fetch_all(connection)
    .await
}

/// Asks for parked events to be applied again; returns how many.
pub async fn ask_replay(connection: &mut PgConnection, aggregate: Option<&str>, actor: &Actor) -> sqlx::Result<u64> {
    let asked = sqlx::query!(
        "update inbox set state = 'replay' where state = 'parked' and ($1::text is null or aggregate_id = $1)",
        aggregate
    );
    let asked = asked.execute(&mut *connection).await?.rows_affected();
    let entry = Entry { kind: "dead_letters_replayed", data: json!({ "count": asked }) };
    history::note(connection, aggregate.unwrap_or("all"), actor, entry).await?;
    Ok(asked)
}

/// Gives up a parked event for good; false when there is none. It counts as handled, and is never applied.
pub async fn discard(connection: &mut PgConnection, event: Uuid, actor: &Actor, reason: &str) -> sqlx::Result<bool> {
    let discarded = sqlx::query_scalar!(
        "update inbox set state = 'done', aggregate_id = null, payload = null, reason = $2 where event_id = $1 and state <> 'done' returning subject",
        event,
        reason
    );
    let Some(subject) = discarded.fetch_optional(&mut *connection).await? else { return Ok(false) };
    let data = json!({ "subject": subject, "reason": reason });
    history::note(connection, &event.to_string(), actor, Entry { kind: "dead_letter_discarded", data }).await?;
    Ok(true)
}
