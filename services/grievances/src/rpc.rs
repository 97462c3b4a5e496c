//! Who asks, parse, one operation, answer.

mod parse;

use foundation::auth::{self, Belongs};
use foundation::db::Db;
use foundation::id;
use foundation::page::Page;
use foundation::rpc::{Server, Violations, internal, once};
use proto::grievances::v1 as wire;
use proto::grievances::v1::grievance_service_server::{GrievanceService, GrievanceServiceServer};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::domain::photo;
use crate::error::Error;
use crate::photos::Photos;
use crate::{operations, store, views};

/// A photo at its limit, and some room for the rest of its message.
const LIMIT: usize = photo::MAX_BYTES + 64 * 1024;

/// Every call that grievances answers.
pub fn serve(server: Server, db: &Db, photos: Photos) -> Server {
    let service = GrievanceServiceServer::new(Grievances { db: db.clone(), photos });
    server.service(service.max_decoding_message_size(LIMIT)).message_limit(LIMIT)
}

/// Pictures being decoded at once.
static DECODING: Semaphore = Semaphore::const_new(2);

struct Grievances {
    db: Db,
    photos: Photos,
}

#[tonic::async_trait]
impl GrievanceService for Grievances {
    async fn upload_photo(&self, request: Request<wire::UploadPhotoRequest>) -> Result<Response<wire::Photo>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        violations.finish()?;
        let content = request.content.clone();
        // A picture takes memory and a core while it is decoded: few at once, the others wait.
        let turn = DECODING.acquire().await.map_err(internal)?;
        let taken = tokio::task::spawn_blocking(move || photo::take(&content)).await.map_err(internal)?;
        drop(turn);
        let taken = taken.map_err(parse::refused_photo)?;
        // Named by the request and the content: a repeat keeps the same picture, another one never replaces it.
        let id = Uuid::new_v5(&id::named(request_id, &[&caller.subject, "photo"]), &request.content);
        let shown = wire::Photo {
            photo_id: id.to_string(),
            width: taken.width.cast_signed(),
            height: taken.height.cast_signed(),
            size_bytes: i64::try_from(taken.bytes.len()).unwrap_or(i64::MAX),
        };
        self.photos.keep(id, taken.bytes.clone()).await.map_err(Error::from)?;
        let owner = caller.subject.clone();
        once(&self.db, &caller, "UploadPhoto", &request, move |tx| {
            Box::pin(async move {
                store::add_photo(tx, id, &owner, &taken).await?;
                Ok::<_, Error>(shown)
            })
        })
        .await
    }

    async fn submit_grievance(
        &self,
        request: Request<wire::SubmitGrievanceRequest>,
    ) -> Result<Response<wire::Grievance>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let (new, who) = (parse::new(&request, &caller.subject)?, caller.clone());
        once(&self.db, &caller, "SubmitGrievance", &request, move |tx| {
            Box::pin(async move { operations::submit(tx, &who, &new).await })
        })
        .await
    }

    async fn review_grievance(
        &self,
        request: Request<wire::ReviewGrievanceRequest>,
    ) -> Result<Response<wire::Grievance>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let ((id, stage), who) = (parse::review(&request)?, caller.clone());
        once(&self.db, &caller, "ReviewGrievance", &request, move |tx| {
            Box::pin(async move { operations::review(tx, &who, id, stage).await })
        })
        .await
    }

    async fn grade_grievance(
        &self,
        request: Request<wire::GradeGrievanceRequest>,
    ) -> Result<Response<wire::Grievance>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let ((id, grade), who) = (parse::grade(&request)?, caller.clone());
        once(&self.db, &caller, "GradeGrievance", &request, move |tx| {
            Box::pin(async move { operations::grade(tx, &who, id, &grade).await })
        })
        .await
    }

    async fn get_grievance(
        &self,
        request: Request<wire::GetGrievanceRequest>,
    ) -> Result<Response<wire::Grievance>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let id = violations.uuid("grievance_id", &request.grievance_id);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let (area, owner, submitter) = views::belongs(&mut connection, id).await?;
        let owners = [owner.as_str(), &submitter];
        if !caller.may(Belongs { area: Some(&area), owners: &owners, ..Belongs::default() }) {
            return Err(Status::not_found(format!("no grievance {id}")));
        }
        Ok(Response::new(views::grievance(&mut connection, id).await?))
    }

    async fn look_up_grievance(
        &self,
        request: Request<wire::LookUpGrievanceRequest>,
    ) -> Result<Response<wire::Grievance>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let source = violations.text("source", &request.source, 1..=50);
        let source_id = violations.text("source_id", &request.source_id, 1..=100);
        violations.finish()?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let (id, submitter) = views::by_source(&mut connection, &source, &source_id).await?;
        if !caller.may(Belongs { owners: &[&submitter], ..Belongs::default() }) {
            return Err(Status::not_found(format!("no grievance {source_id} of {source}")));
        }
        Ok(Response::new(views::grievance(&mut connection, id).await?))
    }

    async fn list_grievances(
        &self,
        request: Request<wire::ListGrievancesRequest>,
    ) -> Result<Response<wire::ListGrievancesResponse>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, request.page_size, &request.page_token);
        let state = parse::state(&mut violations, request.state);
        violations.finish()?;
        let area = caller.list_area(&request.area)?;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        let ids = views::ids(&mut connection, &area, state, page.before, page.size).await.map_err(internal)?;
        let next_page_token = page.next(ids.iter().copied());
        let mut grievances = Vec::with_capacity(ids.len());
        for id in ids {
            grievances.push(views::grievance(&mut connection, id).await?);
        }
        Ok(Response::new(wire::ListGrievancesResponse { grievances, next_page_token }))
    }
}
