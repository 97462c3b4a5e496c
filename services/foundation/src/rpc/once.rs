//! Mutating calls: one transaction each, and the same answer however often the call is repeated (AIP-155).

use prost::Message;
use proto::RequestId;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tonic::{Response, Status};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Violations, already_exists, internal};
use crate::BoxFuture;
use crate::auth::Caller;
use crate::db::Db;

/// Runs a command in a transaction together with the memory of its request id.
///
/// A repeat with the same body gets the first answer and has no second effect; another body under the same id is refused.
/// A command that is refused leaves no memory, so it may be sent again. The work runs in a task of its own: a client that
/// goes away cancels the waiting, never the transaction.
pub async fn once<Q, A, E, F>(
    db: &Db,
    caller: &Caller,
    method: &'static str,
    request: &Q,
    work: F,
) -> Result<Response<A>, Status>
where
    Q: Message + RequestId,
    A: Message + Default + 'static,
    E: Into<Status> + Send + 'static,
    F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>> + Send + 'static,
{
    let mut violations = Violations::default();
    let id = violations.uuid("request_id", request.request_id());
    violations.finish()?;
    let call =
        Call { caller: caller.subject.clone(), id, method, hash: Sha256::digest(request.encode_to_vec()).to_vec() };
    let db = db.clone();
    let run = async move {
        db.in_time(async { Ok(call.run(&db, work).await) })
            .await
            .unwrap_or_else(|silent: sqlx::Error| Err(internal(silent)))
    };
    let run = run.instrument(tracing::Span::current());
    tokio::spawn(run).await.map_err(internal)?.map(Response::new)
}

struct Call {
    caller: String,
    id: Uuid,
    method: &'static str,
    hash: Vec<u8>,
}

impl Call {
    async fn run<A, E, F>(self, db: &Db, work: F) -> Result<A, Status>
    where
        A: Message + Default,
        E: Into<Status>,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>>,
    {
        let mut tx = db.begin_call().await.map_err(internal)?;
        if !self.first_time(&mut tx).await.map_err(internal)? {
            return self.earlier_answer(&mut tx).await;
        }
        let answer = work(&mut tx).await.map_err(Into::into)?;
        self.remember(&mut tx, &answer.encode_to_vec()).await.map_err(internal)?;
        db.commit(tx).await.map_err(internal)?;
        Ok(answer)
    }

    /// Waits for the same call where it is under way elsewhere.
    async fn first_time(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        let inserted = sqlx::query!(
            "insert into request (caller, request_id, method, body_hash) values ($1, $2, $3, $4) on conflict do nothing",
            self.caller,
            self.id,
            self.method,
            self.hash
        );
        Ok(inserted.execute(tx).await?.rows_affected() == 1)
    }

    async fn earlier_answer<A: Message + Default>(&self, tx: &mut PgConnection) -> Result<A, Status> {
        let earlier = sqlx::query!(
            r#"select method, body_hash, response as "response!" from request where caller = $1 and request_id = $2"#,
            self.caller,
            self.id
        );
        let earlier = earlier.fetch_one(tx).await.map_err(internal)?;
        if earlier.method != self.method || earlier.body_hash != self.hash {
            return Err(already_exists(
                "REQUEST_ID_REUSED",
                "this request_id was used for another request; draw a new one",
            ));
        }
        A::decode(&earlier.response[..]).map_err(internal)
    }

    async fn remember(&self, tx: &mut PgConnection, response: &[u8]) -> sqlx::Result<()> {
        sqlx::query!(
            "update request set response = $3 where caller = $1 and request_id = $2",
            self.caller,
            self.id,
            response
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}
