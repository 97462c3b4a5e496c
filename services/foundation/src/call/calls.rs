//! A handler's two shapes. A command: parse, one operation in one transaction, answer. A question: parse, one view in the caller's scope,
//! answer.

use prost::Message;
use proto::RequestId;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tonic::{Request, Response, Status};

use super::once::{once, request_id};
use super::request::Call;
use super::status::internal;
use crate::BoxFuture;
use crate::base::{Context, Error, Refuse, Stop, Violations};
use crate::data::Db;

/// What a handler answers.
pub type Answer<T> = Result<Response<T>, Status>;

/// An operation: carries out a command in a transaction and says what has become of the thing.
pub type Run<C, S, R> = for<'t> fn(&'t mut PgConnection, &'t Context, C) -> BoxFuture<'t, Result<S, Error<R>>>;

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct Calls {
    /// The service's database.
    pub db: Db,
    /// Ends streams.
    pub stop: Stop,
}

impl Calls {
    /// Carries out a command, once however often the call is repeated; a repeat gets the first answer. So answers hold ids, versions,
    /// states and times only: they are kept for a week.
    pub async fn command<Q, C, S, R, A>(
        &self,
        request: Request<Q>,
        parse: fn(&mut Violations, &Q) -> C,
        run: Run<C, S, R>,
        answer: fn(&S) -> A,
    ) -> Answer<A>
    where
        Q: Message + RequestId,
        C: Send + 'static,
        S: Send + 'static,
        R: Refuse,
        A: Message + Default + 'static,
    {
        let call = Call::of(request)?;
        let command = call.parse(|violations, request| {
            let command = parse(violations, request);
            request_id(violations, request);
            command
        })?;
        let context = call.context().clone();
        once(&self.db, &call, move |tx| {
            Box::pin(async move { Ok::<_, Error<R>>(answer(&run(tx, &context, command).await?)) })
        })
        .await
    }

    /// The same for what needs more than a transaction.
    pub async fn once<Q, A, E, F>(&self, call: &Call<Q>, work: F) -> Answer<A>
    where
        Q: Message + RequestId,
        A: Message + Default + 'static,
        E: Into<Status> + Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<A, E>> + Send + 'static,
    {
        once(&self.db, call, work).await
    }

    /// A connection for a view.
    pub async fn reading(&self) -> Result<PoolConnection<Postgres>, Status> {
        self.db.rpc().acquire().await.map_err(internal)
    }
}
