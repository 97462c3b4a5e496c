//! Repeating a mutating call.

use std::time::{Duration, Instant};

use foundation::base::{Stop, id};
use foundation::call::status::already_exists;
use foundation::call::{Admitted, Call, Calls};
use foundation::data::Db;
use proto::residents::v1::{RegisterResidentRequest, RegisterResidentResponse};
use testing::{eventually, run};
use tonic::{Code, Request, Response, Status};

async fn call(db: &Db, id: &str, area: &str, refuse: bool) -> Result<Response<RegisterResidentResponse>, Status> {
    let mut request = Request::new(RegisterResidentRequest {
        request_id: id.into(),
        area: area.into(),
        ..RegisterResidentRequest::default()
    });
    let expires = Instant::now() + Duration::from_secs(60);
    request.extensions_mut().insert(Admitted { rpc: "/register", context: super::centre().await, expires });
    let calls = Calls { db: db.clone(), stop: Stop::new() };
    let call = Call::of(request)?;
    let done = calls.once(&call, move |tx| {
        Box::pin(async move {
            let resident_id = id::new().to_string();
            sqlx::query("insert into happened (what) values ($1)").bind(&resident_id).execute(tx).await.unwrap();
            let answer = RegisterResidentResponse { resident_id, ..RegisterResidentResponse::default() };
            if refuse { Err(already_exists("TEST", "refused")) } else { Ok(answer) }
        })
    });
    done.await
}

#[test]
fn a_repeated_call_gets_the_first_answer_and_has_no_second_effect() {
    run(async {
        let (db, id) = (super::database().await, id::new().to_string());
        let first = call(&db, &id, "150302", false).await.unwrap().into_inner();
        let second = call(&db, &id, "150302", false).await.unwrap().into_inner();
        assert_eq!(first, second);
        assert_eq!(super::happened(&db).await, [first.resident_id]);
    });
}

#[test]
fn the_same_call_twice_at_once_has_one_effect() {
    run(async {
        let (db, id) = (super::database().await, id::new().to_string());
        let (one, other) = tokio::join!(call(&db, &id, "150302", false), call(&db, &id, "150302", false));
        assert_eq!(one.unwrap().into_inner(), other.unwrap().into_inner());
        assert_eq!(super::happened(&db).await.len(), 1);
    });
}

#[test]
fn another_body_under_the_same_id_is_refused() {
    run(async {
        use tonic_types::StatusExt as _;
        let (db, id) = (super::database().await, id::new().to_string());
        call(&db, &id, "150302", false).await.unwrap();
        let status = call(&db, &id, "150303", false).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "REQUEST_ID_REUSED");
        assert_eq!(super::happened(&db).await.len(), 1);
    });
}

#[test]
fn a_refused_call_leaves_nothing_behind_and_may_be_sent_again() {
    run(async {
        let (db, id) = (super::database().await, id::new().to_string());
        call(&db, &id, "150302", true).await.unwrap_err();
        assert!(super::happened(&db).await.is_empty());
        call(&db, &id, "150302", false).await.unwrap();
        assert_eq!(super::happened(&db).await.len(), 1);
    });
}

#[test]
fn a_call_without_a_proper_id_is_refused_naming_the_field() {
    run(async {
        use tonic_types::StatusExt as _;
        let db = super::database().await;
        let status = call(&db, "not-a-uuid", "150302", false).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_error_details().bad_request().unwrap().field_violations[0].field, "request_id");
    });
}

#[test]
fn whoever_is_cancelled_while_a_transaction_begins_leaves_none_open_behind() {
    run(async {
        let db = super::database().await;
        for microseconds in 0..400 {
            let patience = Duration::from_micros(microseconds * 2);
            // Cancelled at some point or begun in time: dropped either way.
            let _ = tokio::time::timeout(patience, db.begin()).await;
        }
        eventually("no session is in a transaction that nobody knows of", || async {
            let open = "select count(*) from pg_stat_activity where datname = current_database()
                        and state like 'idle in transaction%' and pid <> pg_backend_pid()";
            // Whoever borrows a connection now has none open.
            let mut borrowed = Vec::new();
            for _ in 0..db.work().options().get_max_connections() {
                borrowed.push(db.work().acquire().await.unwrap());
            }
            sqlx::query_scalar::<_, i64>(open).fetch_one(&mut *borrowed[0]).await.unwrap() == 0
        })
        .await;
    });
}
