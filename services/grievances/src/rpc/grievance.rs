//! Grievances and their photos.

use foundation::call::status::internal;
use foundation::call::{Answer, Call, Calls};
use foundation::log::feed::Beat;
use foundation::log::{Entry, Feed};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use proto::common::v1 as common;
use proto::grievances::v1;
use proto::grievances::v1::grievance_service_server::GrievanceService;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::domain::photo;
use crate::error::Error;
use crate::operations::grievance::run;
use crate::photo_store::Photos;
use crate::views;
use crate::wire::grievance as wire;
use crate::{operations, wire::photo as wire_photo};

/// Pictures being decoded at once.
static DECODING: Semaphore = Semaphore::const_new(2);

/// Answers for `GrievanceService`.
pub struct Grievances {
    pub calls: Calls,
    pub feed: Feed,
    pub photos: Photos,
}

#[tonic::async_trait]
impl GrievanceService for Grievances {
    async fn upload_photo(&self, request: Request<v1::UploadPhotoRequest>) -> Answer<v1::UploadPhotoResponse> {
        let call = Call::of(request)?;
        let request_id = call.parse(wire_photo::request_id)?;
        let content = call.message.content.clone();
        // A picture takes memory and a core while it is decoded: few at once, the others wait; and also when nobody waits for it any more.
        let turn = DECODING.acquire().await.map_err(internal)?;
        let decoding = move || {
            let _turn = turn;
            photo::take(&content)
        };
        let taken = tokio::task::spawn_blocking(decoding).await.map_err(internal)?.map_err(wire_photo::not_taken)?;
        let context = call.context().clone();
        let kept = wire_photo::kept(request_id, &context.actor().subject, &call.message.content, &taken);
        self.photos.keep(kept.id, taken.bytes).await.map_err(|error| Error::Outside("photo store", error.into()))?;
        self.calls
            .once(&call, move |tx| {
                Box::pin(async move {
                    let kept = operations::photo::run(tx, &context, kept).await?;
                    Ok::<_, Error>(wire_photo::uploaded(&kept))
                })
            })
            .await
    }

    async fn submit_grievance(&self, request: Request<v1::SubmitGrievanceRequest>) -> Answer<v1::GrievanceStatus> {
        self.calls.command(request, wire::submit, run, wire::status).await
    }

    async fn review_grievance(&self, request: Request<v1::ReviewGrievanceRequest>) -> Answer<v1::GrievanceStatus> {
        self.calls.command(request, wire::review, run, wire::status).await
    }

    async fn grade_grievance(&self, request: Request<v1::GradeGrievanceRequest>) -> Answer<v1::GrievanceStatus> {
        self.calls.command(request, wire::grade, run, wire::status).await
    }

    async fn get_grievance(&self, request: Request<v1::GetGrievanceRequest>) -> Answer<v1::Grievance> {
        let call = Call::of(request)?;
        let id = call.parse(wire::key)?;
        let whole = views::grievance::get(&mut *self.calls.reading().await?, call.scope(), id).await?;
        Ok(Response::new(wire::shown(whole)))
    }

    async fn look_up_grievance(&self, request: Request<v1::LookUpGrievanceRequest>) -> Answer<v1::Grievance> {
        let call = Call::of(request)?;
        let (source, id) = call.parse(wire::source_key)?;
        let mut connection = self.calls.reading().await?;
        let whole = views::grievance::by_source(&mut connection, call.scope(), (&source, &id)).await?;
        Ok(Response::new(wire::shown(whole)))
    }

    async fn list_grievances(&self, request: Request<v1::ListGrievancesRequest>) -> Answer<v1::ListGrievancesResponse> {
        let call = Call::of(request)?;
        let (area, state, page) = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::grievance::list(&mut connection, call.scope(), &area, state, &page).await?;
        let next_page_token = page.next(&rows, |(row, _)| row.id);
        let grievances = rows.into_iter().map(wire::shown).collect();
        Ok(Response::new(v1::ListGrievancesResponse { grievances, next_page_token }))
    }

    async fn list_grievance_changes(
        &self,
        request: Request<v1::ListGrievanceChangesRequest>,
    ) -> Answer<v1::ListGrievanceChangesResponse> {
        let call = Call::of(request)?;
        let (entries, next_cursor) =
            self.feed.after(&call, about, &call.message.cursor, call.message.page_size).await?;
        let changes = entries.into_iter().map(Entry::into).collect();
        Ok(Response::new(v1::ListGrievanceChangesResponse { changes, next_cursor }))
    }

    type WatchGrievancesStream = BoxStream<'static, Result<v1::WatchGrievancesResponse, Status>>;

    async fn watch_grievances(
        &self,
        request: Request<v1::WatchGrievancesRequest>,
    ) -> Answer<Self::WatchGrievancesStream> {
        let call = Call::of(request)?;
        let beats = self.feed.watch(&call, about, &call.message.cursor).await?;
        Ok(Response::new(beats.map(|beat| beat.map(beaten)).boxed()))
    }
}

/// Everything that this service publishes is about a grievance.
fn about(_: &str) -> bool {
    true
}

fn beaten(Beat { cursor, entry }: Beat) -> v1::WatchGrievancesResponse {
    v1::WatchGrievancesResponse { cursor, change: entry.map(common::Change::from) }
}
