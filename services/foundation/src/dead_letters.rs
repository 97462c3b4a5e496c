//! Looking after facts that could not be applied: `haiqu dead-letters list` shows them, `replay` asks the running service to
//! apply them again, in the order they arrived. Payloads are not shown.

use std::io::Write as _;

use clap::Subcommand;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// One line each: event, subject, aggregate, when, why.
    List,
    /// Apply the parked facts of an aggregate again, or all of them.
    Replay {
        /// Only those about this.
        #[arg(long)]
        aggregate: Option<Uuid>,
    },
}

/// Works on the service's database directly, so that it helps when the service does not run.
pub async fn run(url: &SecretString, action: Action) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url.expose_secret()).await?;
    let mut out = std::io::stdout();
    match action {
        Action::List => {
            for row in parked(&mut connection).await? {
                let Parked { event_id, subject, aggregate_id, received_at, reason } = row;
                writeln!(out, "{event_id}\t{subject}\t{aggregate_id}\t{received_at}\t{}", reason.unwrap_or_default())?;
            }
        }
        Action::Replay { aggregate } => {
            let asked = ask_replay(&mut connection, aggregate.map(|id| id.to_string()).as_deref()).await?;
            writeln!(out, "{asked} facts will be applied again by the running service")?;
        }
    }
    Ok(connection.close().await?)
}

/// A fact that could not be applied.
#[derive(Debug)]
pub struct Parked {
    /// CloudEvents id.
    pub event_id: Uuid,
    /// CloudEvents type.
    pub subject: String,
    /// What it is about.
    pub aggregate_id: String,
    /// When it was parked.
    pub received_at: crate::clock::Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// What is parked, oldest first, at most 1000.
pub async fn parked(connection: &mut PgConnection) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        "select event_id, subject, aggregate_id, received_at, reason from inbox where state <> 'done' order by arrival limit 1000"
    )
    .fetch_all(connection)
    .await
}

/// Asks for parked facts to be applied again; returns how many.
pub async fn ask_replay(connection: &mut PgConnection, aggregate: Option<&str>) -> sqlx::Result<u64> {
    let asked = sqlx::query!(
        "update inbox set state = 'replay' where state = 'parked' and ($1::text is null or aggregate_id = $1)",
        aggregate
    );
    Ok(asked.execute(connection).await?.rows_affected())
}
