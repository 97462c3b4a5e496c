//! Whistles and assignments.

use foundation::call::{Answer, Call, Calls};
use foundation::log::feed::Beat;
use foundation::log::{Entry, Feed};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use proto::common::v1 as common;
use proto::dispatch::v1;
use proto::dispatch::v1::whistle_service_server::WhistleService;
use tonic::{Request, Response, Status};

use crate::operations::whistle::run;
use crate::views;
use crate::wire::whistle as wire;

/// Answers for `WhistleService`.
pub struct Whistles {
    pub calls: Calls,
    pub feed: Feed,
}

#[tonic::async_trait]
impl WhistleService for Whistles {
    async fn blow_whistle(&self, request: Request<v1::BlowWhistleRequest>) -> Answer<v1::BlowWhistleResponse> {
        self.calls.command(request, wire::blow, run, wire::blown).await
    }

    async fn get_whistle(&self, request: Request<v1::GetWhistleRequest>) -> Answer<v1::Whistle> {
        let call = Call::of(request)?;
        let id = call.parse(wire::key)?;
        let whole = views::whistle::get(&mut *self.calls.reading().await?, call.scope(), id).await?;
        Ok(Response::new(wire::shown(whole)))
    }

    async fn list_whistles(&self, request: Request<v1::ListWhistlesRequest>) -> Answer<v1::ListWhistlesResponse> {
        let call = Call::of(request)?;
        let (area, state, page) = call.parse(wire::list)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::whistle::list(&mut connection, call.scope(), &area, state, &page).await?;
        let next_page_token = page.next(&rows, |(row, _)| row.id);
        let whistles = rows.into_iter().map(wire::shown).collect();
        Ok(Response::new(v1::ListWhistlesResponse { whistles, next_page_token }))
    }

    async fn list_assignments(
        &self,
        request: Request<v1::ListAssignmentsRequest>,
    ) -> Answer<v1::ListAssignmentsResponse> {
        let call = Call::of(request)?;
        let (unit, state, page) = call.parse(wire::list_assignments)?;
        let mut connection = self.calls.reading().await?;
        let rows = views::assignment::list(&mut connection, call.scope(), unit, state, &page).await?;
        let next_page_token = page.next(&rows, |one| one.row.id);
        let assignments = rows.into_iter().map(wire::assignment).collect();
        Ok(Response::new(v1::ListAssignmentsResponse { assignments, next_page_token }))
    }

    async fn answer_assignment(&self, request: Request<v1::AnswerAssignmentRequest>) -> Answer<v1::AssignmentStatus> {
        self.calls.command(request, wire::answer, run, wire::assignment_status).await
    }

    async fn submit_assignment(&self, request: Request<v1::SubmitAssignmentRequest>) -> Answer<v1::AssignmentStatus> {
        self.calls.command(request, wire::submit, run, wire::assignment_status).await
    }

    async fn confirm_assignment(&self, request: Request<v1::ConfirmAssignmentRequest>) -> Answer<v1::AssignmentStatus> {
        self.calls.command(request, wire::confirm, run, wire::assignment_status).await
    }

    async fn withdraw_whistle(&self, request: Request<v1::WithdrawWhistleRequest>) -> Answer<v1::WhistleStatus> {
        self.calls.command(request, wire::withdraw, run, wire::whistle_status).await
    }

    async fn annul_card(&self, request: Request<v1::AnnulCardRequest>) -> Answer<v1::AssignmentStatus> {
        self.calls.command(request, wire::annul_card, run, wire::assignment_status).await
    }

    async fn list_whistle_changes(
        &self,
        request: Request<v1::ListWhistleChangesRequest>,
    ) -> Answer<v1::ListWhistleChangesResponse> {
        let call = Call::of(request)?;
        let (entries, next_cursor) =
            self.feed.after(&call, about, &call.message.cursor, call.message.page_size).await?;
        let changes = entries.into_iter().map(Entry::into).collect();
        Ok(Response::new(v1::ListWhistleChangesResponse { changes, next_cursor }))
    }

    type WatchWhistlesStream = BoxStream<'static, Result<v1::WatchWhistlesResponse, Status>>;

    async fn watch_whistles(&self, request: Request<v1::WatchWhistlesRequest>) -> Answer<Self::WatchWhistlesStream> {
        let call = Call::of(request)?;
        let beats = self.feed.watch(&call, about, &call.message.cursor).await?;
        Ok(Response::new(beats.map(|beat| beat.map(beaten)).boxed()))
    }
}

/// What belongs to a whistle: not the directory, not policies.
fn about(subject: &str) -> bool {
    ["whistle", "assignment", "rung", "card"].iter().any(|noun| subject.split('.').nth(2) == Some(noun))
}

fn beaten(Beat { cursor, entry }: Beat) -> v1::WatchWhistlesResponse {
    v1::WatchWhistlesResponse { cursor, change: entry.map(common::Change::from) }
}
