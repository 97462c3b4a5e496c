//! What ops look after in every service: facts that could not be applied, and what a restore holds back.

use proto::ops::v1 as wire;
use proto::ops::v1::dead_letter_service_server::{DeadLetterService, DeadLetterServiceServer};
use proto::ops::v1::hold_service_server::{HoldService, HoldServiceServer};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use crate::clock::to_wire;
use crate::db::Db;
use crate::page::Page;
use crate::rpc::{Server, Violations, internal, once, wrong_state};
use crate::{auth, dead_letters};

/// Serves both on every service.
pub(crate) fn serve(server: Server, db: &Db) -> Server {
    let ops = Ops { db: db.clone() };
    server.service(DeadLetterServiceServer::new(ops.clone())).service(HoldServiceServer::new(ops))
}

#[derive(Clone)]
struct Ops {
    db: Db,
}

#[tonic::async_trait]
impl DeadLetterService for Ops {
    async fn list_dead_letters(
        &self,
        _: Request<wire::ListDeadLettersRequest>,
    ) -> Result<Response<wire::ListDeadLettersResponse>, Status> {
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let parked = dead_letters::parked(&mut connection).await.map_err(internal)?;
        let shown = parked.into_iter().map(|letter| wire::DeadLetter {
            event_id: letter.event_id.to_string(),
            subject: letter.subject,
            aggregate_id: letter.aggregate_id,
            park_time: Some(to_wire(letter.received_at)),
            reason: letter.reason.unwrap_or_default(),
        });
        Ok(Response::new(wire::ListDeadLettersResponse { dead_letters: shown.collect() }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<wire::ReplayDeadLettersRequest>,
    ) -> Result<Response<wire::ReplayDeadLettersResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let aggregate = Some(request.aggregate_id.clone()).filter(|id| !id.is_empty());
        once(&self.db, &caller, "ReplayDeadLetters", &request, move |tx| {
            Box::pin(async move {
                let asked = dead_letters::ask_replay(tx, aggregate.as_deref()).await.map_err(internal)?;
                let count = i64::try_from(asked).unwrap_or(i64::MAX);
                Ok::<_, Status>(wire::ReplayDeadLettersResponse { count })
            })
        })
        .await
    }
}

#[tonic::async_trait]
impl HoldService for Ops {
    async fn get_hold(&self, _: Request<wire::GetHoldRequest>) -> Result<Response<wire::Hold>, Status> {
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        Ok(Response::new(hold(&mut connection).await.map_err(internal)?))
    }

    async fn list_held_effects(
        &self,
        request: Request<wire::ListHeldEffectsRequest>,
    ) -> Result<Response<wire::ListHeldEffectsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let rows = leaving(&mut connection, &page).await.map_err(internal)?;
        let next_page_token = page.next(rows.iter().map(|(id, _)| *id));
        let total = sqlx::query_scalar!(r#"select count(*) as "count!" from leaving"#);
        let total_size = total.fetch_one(&mut *connection).await.map_err(internal)?;
        let effects = rows.into_iter().map(|(_, effect)| effect).collect();
        Ok(Response::new(wire::ListHeldEffectsResponse { effects, next_page_token, total_size }))
    }

    async fn release_hold(&self, request: Request<wire::ReleaseHoldRequest>) -> Result<Response<wire::Hold>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let subject = caller.subject.clone();
        once(&self.db, &caller, "ReleaseHold", &request, move |tx| {
            Box::pin(async move {
                if !released(tx).await.map_err(internal)? {
                    return Err(wrong_state("hold", "released", "nothing is held here"));
                }
                tracing::warn!(by = subject, "ops let everything go that was held after the restore");
                hold(tx).await.map_err(internal)
            })
        })
        .await
    }
}

async fn hold(connection: &mut PgConnection) -> sqlx::Result<wire::Hold> {
    let held = sqlx::query!("select held_at, clock_doubted_at from log_head").fetch_one(connection).await?;
    Ok(wire::Hold { hold_time: held.held_at.map(to_wire), clock_doubt_time: held.clock_doubted_at.map(to_wire) })
}

async fn leaving(connection: &mut PgConnection, page: &Page) -> sqlx::Result<Vec<(uuid::Uuid, wire::HeldEffect)>> {
    let rows = sqlx::query!(
        r#"select id as "id!", kind as "kind!", assignment_id as "assignment_id!", target as "target!", due_at as "due_at!"
           from leaving where id < $1 order by id desc limit $2"#,
        page.before,
        page.size
    )
    .fetch_all(connection)
    .await?;
    let effects = rows.into_iter().map(|row| {
        let effect = wire::HeldEffect {
            effect_id: row.id.to_string(),
            kind: row.kind,
            assignment_id: row.assignment_id.to_string(),
            target: row.target,
            due_time: Some(to_wire(row.due_at)),
        };
        (row.id, effect)
    });
    Ok(effects.collect())
}

/// Lets go; false when nothing was held.
async fn released(tx: &mut PgConnection) -> sqlx::Result<bool> {
    let released = sqlx::query!(
        "update log_head set clock_doubted_at = null, clock_right_until = null, held_at = null, whole_until = null,
             whole_position = null, lost = false,
             clock_releases = clock_releases + (clock_doubted_at is not null)::int,
             doubtful_before = case when held_at is null then doubtful_before else clock_timestamp() end
         where held_at is not null or clock_doubted_at is not null"
    );
    Ok(released.execute(tx).await?.rows_affected() == 1)
}
