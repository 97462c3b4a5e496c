//! Mutating calls: one transaction each, and the same answer however often the call is repeated (AIP-155).

use std::time::Instant;

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
use crate::data::flush::Server;

/// Runs a command in a transaction together with the memory of its request id.
///
/// A repeat with the same body gets the first answer and has no second effect; another body under the same id is refused. The id is
/// written last, so that an ordinary call pays for one statement: a repeat does its work once more, finds the id taken (or is
/// refused, as what it asks for is done), and is rolled back. So work has no effect but on its transaction.
/// A command that is refused leaves no memory, so it may be sent again. What an answer or a refusal rests on is on disk before it leaves.
/// The work runs in a task of its own: a client that goes away cancels the waiting, never the transaction.
pub async fn once<Q, A, E, F>(db: &Db, call: &Call<Q>, work: F) -> Result<Response<A>, Status>
where
    Q: Message + RequestId,
    A: Message + Default + 'static,
    E: Into<Status> + Send + 'static,
    F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>> + Send + 'static,
{
    let id = call.parse(request_id)?;
    let hash = Sha256::digest(call.message.encode_to_vec()).to_vec();
    let asked = Asked { caller: call.context().caller.subject.clone(), id, rpc: call.rpc(), hash };
    let db = db.clone();
    let run = async move {
        let since = Instant::now();
        let run = async { Ok(asked.run(&db, work).await) };
        let (server, answer) = db.in_time(run).await.unwrap_or_else(|silent: sqlx::Error| Err(internal(silent)))?;
        db.flushed(server, since).await.map_err(internal)?;
        answer
    };
    let run = run.instrument(tracing::Span::current());
    tokio::spawn(run).await.map_err(internal)?.map(Response::new)
}

/// The caller's own id of the call.
pub fn request_id<Q: RequestId>(violations: &mut Violations, request: &Q) -> Uuid {
    violations.uuid("request_id", request.request_id())
}

struct Asked {
    caller: String,
    id: Uuid,
    rpc: &'static str,
    hash: Vec<u8>,
}

impl Asked {
    /// The answer, and the server on whose disk it rests.
    async fn run<A, E, F>(self, db: &Db, work: F) -> Result<(Server, Result<A, Status>), Status>
    where
        A: Message + Default,
        E: Into<Status>,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>>,
    {
        let mut tx = db.begin_call().await.map_err(internal)?;
        match work(&mut tx).await {
            Ok(answer) => match self.remember(&mut tx, &answer.encode_to_vec()).await.map_err(internal)? {
                Some(server) => db.commit(tx).await.map(|()| (server, Ok(answer))).map_err(internal),
                None => {
                    let (server, earlier) = self.earlier_answer(&mut tx).await?;
                    Ok((server, earlier.ok_or_else(|| internal(sqlx::Error::RowNotFound))))
                }
            },
            Err(refused) => {
                tx.rollback().await.map_err(internal)?;
                // It may be refused only because it has been done before.
                let (server, earlier) = self.earlier_answer(&mut *db.rpc().acquire().await.map_err(internal)?).await?;
                Ok((server, earlier.ok_or_else(|| refused.into())))
            }
        }
    }

    /// On which server it is remembered; none when the same call was made before. Waits for it where it is under way elsewhere.
    async fn remember(&self, tx: &mut PgConnection, response: &[u8]) -> sqlx::Result<Option<Server>> {
        let inserted = sqlx::query_scalar!(
            r#"insert into request (caller, request_id, method, body_hash, response) values ($1, $2, $3, $4, $5)
               on conflict do nothing returning pg_postmaster_start_time() as "server!""#,
            self.caller,
            self.id,
            self.rpc,
            self.hash,
            response
        );
        inserted.fetch_optional(tx).await
    }

    /// What the same call was answered, if it was made before; and which server says so.
    async fn earlier_answer<A: Message + Default>(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(Server, Option<A>), Status> {
        let found = sqlx::query!(
            r#"select pg_postmaster_start_time() as "server!", method as "method?", body_hash as "body_hash?", response as "response?"
               from (values (0)) as one left join request on caller = $1 and request_id = $2"#,
            self.caller,
            self.id
        );
        let found = found.fetch_one(connection).await.map_err(internal)?;
        let (Some(method), Some(hash), Some(response)) = (found.method, found.body_hash, found.response) else {
            return Ok((found.server, None));
        };
        if method != self.rpc || hash != self.hash {
            return Err(already_exists(
                "REQUEST_ID_REUSED",
                "this request_id was used for another request; draw a new one",
            ));
        }
        Ok((found.server, Some(A::decode(&response[..]).map_err(internal)?)))
    }
}
