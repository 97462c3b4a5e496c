//! What notifications does: one transaction per command; what leaves the house leaves between two of them.

pub mod calls;
pub mod hear;
pub mod links;
pub mod receipts;
pub mod sending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foundation::BoxFuture;
use foundation::clock::from_wire;
use foundation::db::{Chain, Db, Session, stays};
use foundation::host::pause;
use foundation::rpc::client::Peer;
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use proto::dispatch::v1::{Contact, ResolveTargetRequest, ResolveTargetResponse};
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use tonic::Status;
use uuid::Uuid;

use crate::announcements;
use crate::domain::Target;
use crate::domain::texts::Matter;
use crate::error::Error;
use crate::gateway::Gateway;

/// What the operations work with.
#[derive(Clone)]
pub struct Operations {
    /// The database.
    pub db: Db,
    /// The dispatch service.
    pub dispatch: Peer,
    /// The way out.
    pub gateway: Gateway,
    /// What links begin with.
    pub link_base: Arc<str>,
    /// What links are made with.
    pub link_key: SecretString,
}

/// Whom an effect is for, and what it speaks of.
pub(crate) struct Resolved {
    pub matter: Matter,
    pub stopped_at: Option<foundation::clock::Timestamp>,
    pub contact: Option<Contact>,
}

/// What is done with some of what was taken up.
type Work<T> = for<'a> fn(&'a mut PgConnection, &'a [T]) -> BoxFuture<'a, Result<(), Error>>;

/// How long a server that has gone away is waited for, with the work in hand: half of its lease.
const AWAY: Duration = Duration::from_secs(2);

/// Does this in one transaction for all, or for each alone where one of them cannot be done: that one is taken up again after its
/// lease.
async fn together<T>(session: &mut Session, all: &[T], effect: fn(&T) -> Uuid, work: Work<T>) {
    let (db, began) = (session.db.clone(), Instant::now());
    if all.is_empty() {
        return;
    }
    loop {
        match db.in_time(in_transaction(session, all, work)).await {
            Ok(()) => return,
            Err(Error::Database(error)) if !stays(&error) && began.elapsed() < AWAY => {
                pause(Duration::from_millis(50)).await;
            }
            Err(_) => break,
        }
    }
    for one in all {
        if let Err(error) = db.in_time(in_transaction(session, std::slice::from_ref(one), work)).await {
            tracing::warn!(effect = %effect(one), error = %Chain(&error), "taken up again after its lease");
        }
    }
}

async fn in_transaction<T>(session: &mut Session, some: &[T], work: Work<T>) -> Result<(), Error> {
    let mut connection = session.take().await?;
    let mut tx = connection.begin().await?;
    work(&mut tx, some).await?;
    tx.commit().await?;
    session.keep(connection);
    session.db.committed();
    Ok(())
}

impl Operations {
    /// Asks dispatch's directory: contacts are resolved when the rung fires, never earlier.
    pub(crate) async fn resolve(&self, assignment: Uuid, ladder: Uuid, target: Target) -> Result<Resolved, Error> {
        let request = ResolveTargetRequest {
            assignment_id: assignment.to_string(),
            ladder_id: ladder.to_string(),
            target: announcements::target(target).into(),
        };
        let request = self.dispatch.question(request).await.map_err(Box::new)?;
        let mut client = DirectoryServiceClient::new(self.dispatch.channel());
        let answer: ResolveTargetResponse = client.resolve_target(request).await.map_err(Box::new)?.into_inner();
        let time = |at: Option<prost_types::Timestamp>| at.as_ref().and_then(from_wire);
        let missing = || Box::new(Status::internal("dispatch told no times"));
        Ok(Resolved {
            matter: Matter {
                unit: answer.unit_name,
                title: answer.title,
                place: answer.place,
                blown_at: time(answer.blow_time).ok_or_else(missing)?,
                handle_by: time(answer.handle_by).ok_or_else(missing)?,
            },
            stopped_at: time(answer.stop_time),
            contact: answer.contact,
        })
    }
}
