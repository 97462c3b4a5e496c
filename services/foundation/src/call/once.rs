//! Mutating calls: one transaction each, and the same answer however often the call is repeated (AIP-155).

use prost::Message;
use proto::RequestId;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tonic::{Response, Status};
use tracing::Instrument as _;
use uuid::Uuid;

use super::request::Call;
use super::status::{already_exists, internal};
use crate::BoxFuture;
use crate::base::Violations;
use crate::data::Db;

/// Runs a command in a transaction together with the memory of its request id.
///
/// A repeat with the same body gets the first answer and has no second effect; another body under the same id is refused. The id is
/// written last, so that an ordinary call pays for one statement: a repeat does its work once more, finds the id taken (or is
/// refused, as what it asks for is done), and is rolled back. So work has no effect but on its transaction.
/// A command that is refused leaves no memory, so it may be sent again. The work runs in a task of its own: a client that
/// goes away cancels the waiting, never the transaction.
pub async fn once<Q, A, E, F>(db: &Db, call: &Call<Q>, work: F) -> Result<Response<A>, Status>
where
    Q: Message + RequestId,
    A: Message + Default + 'static,
    E: Into<Status> + Send + 'static,
    F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>> + Send + 'static,
{
    let mut violations = Violations::default();
    let id = violations.uuid("request_id", call.message.request_id());
    violations.finish()?;
    let hash = Sha256::digest(call.message.encode_to_vec()).to_vec();
    let asked = Asked { caller: call.context().caller.subject.clone(), id, rpc: call.rpc(), hash };
    let db = db.clone();
    let run = async move {
        db.in_time(async { Ok(asked.run(&db, work).await) })
            .await
            .unwrap_or_else(|silent: sqlx::Error| Err(internal(silent)))
    };
    let run = run.instrument(tracing::Span::current());
    tokio::spawn(run).await.map_err(internal)?.map(Response::new)
}

struct Asked {
    caller: String,
    id: Uuid,
    rpc: &'static str,
    hash: Vec<u8>,
}

impl Asked {
    async fn run<A, E, F>(self, db: &Db, work: F) -> Result<A, Status>
    where
        A: Message + Default,
        E: Into<Status>,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>>,
    {
        let mut tx = db.begin_call().await.map_err(internal)?;
        let done = match work(&mut tx).await {
            Ok(answer) => self.remember(&mut tx, &answer.encode_to_vec()).await.map_err(internal)?.then_some(answer),
            Err(refused) => {
                tx.rollback().await.map_err(internal)?;
                // It may be refused only because it has been done before.
                let earlier = self.earlier_answer(&mut *db.rpc().acquire().await.map_err(internal)?).await?;
                return earlier.ok_or_else(|| refused.into());
            }
        };
        match done {
            Some(answer) => db.commit(tx).await.map(|()| answer).map_err(internal),
            None => self.earlier_answer(&mut tx).await?.ok_or_else(|| internal(sqlx::Error::RowNotFound)),
        }
    }

    /// False when the same call was made before. Waits for it where it is under way elsewhere.
    async fn remember(&self, tx: &mut PgConnection, response: &[u8]) -> sqlx::Result<bool> {
        let inserted = sqlx::query!(
            "insert into request (caller, request_id, method, body_hash, response) values ($1, $2, $3, $4, $5)
             on conflict do nothing",
            self.caller,
            self.id,
            self.rpc,
            self.hash,
            response
        );
        Ok(inserted.execute(tx).await?.rows_affected() == 1)
    }

    async fn earlier_answer<A: Message + Default>(&self, connection: &mut PgConnection) -> Result<Option<A>, Status> {
        let earlier = sqlx::query!(
            "select method, body_hash, response from request where caller = $1 and request_id = $2",
            self.caller,
            self.id
        );
        let Some(earlier) = earlier.fetch_optional(connection).await.map_err(internal)? else { return Ok(None) };
        if earlier.method != self.rpc || earlier.body_hash != self.hash {
            return Err(already_exists(
                "REQUEST_ID_REUSED",
                "this request_id was used for another request; draw a new one",
            ));
        }
        A::decode(&earlier.response[..]).map(Some).map_err(internal)
    }
}
