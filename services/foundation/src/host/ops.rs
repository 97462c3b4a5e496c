//! What ops look after in every service, over gRPC: events that could not be applied, what is held, who is waited for.

use proto::common::v1 as common;
use proto::ops::v1 as wire;
use proto::ops::v1::consumer_service_server::{ConsumerService, ConsumerServiceServer};
use proto::ops::v1::dead_letter_service_server::{DeadLetterService, DeadLetterServiceServer};
use proto::ops::v1::hold_service_server::{HoldService, HoldServiceServer};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use super::holds;
use crate::base::time::to_wire;
use crate::call::status::{internal, wrong_state};
use crate::call::{Answer, Call, Calls, Server};
use crate::data::Page;
use crate::log::dead_letters;

/// Serves all of it on every service.
pub(super) fn serve(server: Server, calls: Calls) -> Server {
    let ops = Ops { calls };
    server
        .service(DeadLetterServiceServer::new(ops.clone()))
        .service(HoldServiceServer::new(ops.clone()))
        .service(ConsumerServiceServer::new(ops))
}

#[derive(Clone)]
struct Ops {
    calls: Calls,
}

#[tonic::async_trait]
impl DeadLetterService for Ops {
    async fn list_dead_letters(
        &self,
        _: Request<wire::ListDeadLettersRequest>,
    ) -> Answer<wire::ListDeadLettersResponse> {
        let parked = dead_letters::parked(&mut *self.calls.reading().await?).await.map_err(internal)?;
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
    ) -> Answer<wire::ReplayDeadLettersResponse> {
        let call = Call::of(request)?;
        let (actor, aggregate) = (call.context().actor().clone(), call.message.aggregate_id.clone());
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    let aggregate = Some(aggregate.as_str()).filter(|id| !id.is_empty());
                    let asked = dead_letters::ask_replay(tx, aggregate, &actor).await.map_err(internal)?;
                    let count = i64::try_from(asked).unwrap_or(i64::MAX);
                    Ok::<_, Status>(wire::ReplayDeadLettersResponse { count })
                })
            })
            .await
    }

    async fn discard_dead_letter(
        &self,
        request: Request<wire::DiscardDeadLetterRequest>,
    ) -> Answer<wire::DiscardDeadLetterResponse> {
        let call = Call::of(request)?;
        let (id, reason) = call.parse(|violations, request| {
            (violations.uuid("event_id", &request.event_id), violations.text("reason", &request.reason, 1..=500))
        })?;
        let actor = call.context().actor().clone();
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    match dead_letters::discard(tx, id, &actor, &reason).await.map_err(internal)? {
                        true => Ok(wire::DiscardDeadLetterResponse { event_id: id.to_string() }),
                        false => Err(Status::not_found(format!("no parked event {id}"))),
                    }
                })
            })
            .await
    }
}

#[tonic::async_trait]
impl HoldService for Ops {
    async fn get_hold(&self, _: Request<wire::GetHoldRequest>) -> Answer<wire::Hold> {
        Ok(Response::new(hold(&mut *self.calls.reading().await?).await?))
    }

    async fn list_held_effects(
        &self,
        request: Request<wire::ListHeldEffectsRequest>,
    ) -> Answer<wire::ListHeldEffectsResponse> {
        let call = Call::of(request)?;
        let page = call.parse(|violations, request| {
            Page::parse(violations, request.page_size, &request.page_token, &"held effects")
        })?;
        let mut connection = self.calls.reading().await?;
        let rows = holds::leaving(&mut connection, &page).await.map_err(internal)?;
        let next_page_token = page.next(&rows, |row| row.id);
        let total_size = holds::count(&mut connection).await.map_err(internal)?;
        let effects = rows.iter().map(effect).collect();
        Ok(Response::new(wire::ListHeldEffectsResponse { effects, next_page_token, total_size }))
    }

    async fn release_hold(&self, request: Request<wire::ReleaseHoldRequest>) -> Answer<wire::Hold> {
        let call = Call::of(request)?;
        let actor = call.context().actor().clone();
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    match holds::release(tx, &actor).await.map_err(internal)? {
                        true => hold(tx).await,
                        false => Err(wrong_state("hold", "released", "nothing is held here")),
                    }
                })
            })
            .await
    }

    async fn confirm_clock(&self, request: Request<wire::ConfirmClockRequest>) -> Answer<wire::Hold> {
        let call = Call::of(request)?;
        let actor = call.context().actor().clone();
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    match holds::confirm_clock(tx, &actor).await.map_err(internal)? {
                        true => hold(tx).await,
                        false => Err(wrong_state("clock", "believed", "the clock is not doubted here")),
                    }
                })
            })
            .await
    }
}

#[tonic::async_trait]
impl ConsumerService for Ops {
    async fn list_consumers(&self, _: Request<wire::ListConsumersRequest>) -> Answer<wire::ListConsumersResponse> {
        let consumers = holds::consumers(&mut *self.calls.reading().await?).await.map_err(internal)?;
        let shown = consumers.into_iter().map(|consumer| wire::Consumer {
            name: consumer.name,
            confirmed_position: consumer.confirmed,
            read_time: Some(to_wire(consumer.seen_at)),
            struck_off: consumer.struck_off,
        });
        Ok(Response::new(wire::ListConsumersResponse { consumers: shown.collect() }))
    }

    async fn strike_off_consumer(
        &self,
        request: Request<wire::StrikeOffConsumerRequest>,
    ) -> Answer<wire::StrikeOffConsumerResponse> {
        let call = Call::of(request)?;
        let (name, reason) = call.parse(|violations, request| {
            (violations.text("name", &request.name, 1..=50), violations.text("reason", &request.reason, 1..=500))
        })?;
        let actor = call.context().actor().clone();
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    let confirmed = holds::strike_off(tx, &name, &actor, &reason).await.map_err(internal)?;
                    let confirmed = confirmed.ok_or_else(|| Status::not_found("no such consumer"))?;
                    Ok::<_, Status>(wire::StrikeOffConsumerResponse { confirmed_position: confirmed })
                })
            })
            .await
    }
}

async fn hold(connection: &mut PgConnection) -> Result<wire::Hold, Status> {
    let hold = holds::hold(connection).await.map_err(internal)?;
    Ok(wire::Hold { hold_time: hold.held_at.map(to_wire), clock_doubt_time: hold.clock_doubted_at.map(to_wire) })
}

fn effect(row: &holds::Leaving) -> wire::HeldEffect {
    let named = |prefix: &str, word: &str| format!("{prefix}_{}", word.to_uppercase());
    let kind = common::EffectKind::from_str_name(&named("EFFECT_KIND", &row.kind)).unwrap_or_default();
    let target = common::TargetRole::from_str_name(&named("TARGET_ROLE", &row.target)).unwrap_or_default();
    wire::HeldEffect {
        effect_id: row.id.to_string(),
        kind: kind.into(),
        assignment_id: row.assignment_id.to_string(),
        target: target.into(),
        due_time: Some(to_wire(row.due_at)),
    }
}
