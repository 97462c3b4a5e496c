//! Watching what changes: in one's scope, from a cursor on, over gRPC and JSON, through the death of who serves it.

use std::time::Duration;

use local::people::{COMMUNITY, STREET, Somebody, channel};
use local::scenario::{Blown, Matter, Play, heating};
use local::stack::Stack;
use proto::common::v1::Change;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::dispatch::v1::{ListWhistleChangesRequest, WatchWhistlesRequest, WatchWhistlesResponse};
use proto::grievances::v1::ListGrievanceChangesRequest;
use proto::grievances::v1::grievance_service_client::GrievanceServiceClient;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use testing::run;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

fn whistles(stack: &Stack) -> WhistleServiceClient<Channel> {
    WhistleServiceClient::new(channel(stack, "dispatch").unwrap())
}

fn somebody(stack: &Stack, role: &str, area: Option<&str>, unit: Option<Uuid>) -> Somebody {
    Somebody::new(&stack.issuer, role, role, area, unit).unwrap()
}

async fn blown(stack: &Stack) -> (Matter, Blown) {
    let (play, matter) = (Play::new(stack).unwrap(), heating());
    play.enter(&matter).await.unwrap();
    let blown = play.blow(&matter, 0).await.unwrap();
    (matter, blown)
}

/// What has changed past a cursor, to the end; and where that is.
async fn changes(stack: &Stack, who: &Somebody, cursor: &str) -> (Vec<Change>, String) {
    let (mut all, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let request = ListWhistleChangesRequest { cursor: cursor.clone(), page_size: 200 };
        let page = whistles(stack).list_whistle_changes(who.request(request)).await.unwrap().into_inner();
        let ended = page.changes.is_empty() && page.next_cursor == cursor;
        all.extend(page.changes);
        cursor = page.next_cursor;
        if ended || all.len() > 10_000 {
            return (all, cursor);
        }
    }
}

#[test]
fn whoever_may_see_a_whistle_learns_of_its_changes_and_nobody_else() {
    run(async {
        let stack = system_tests::stack().await;
        let centre = somebody(stack, "centre", None, None);
        let (_, now) = changes(stack, &centre, "").await;
        let (matter, blown) = blown(stack).await;
        let id = blown.whistle.whistle_id.clone();
        for (who, learns) in [
            (somebody(stack, "street", Some(STREET), None), true),
            (somebody(stack, "street", Some("150302005"), None), false),
            (somebody(stack, "unit", None, Some(matter.units[0].id)), true),
            (somebody(stack, "unit", None, Some(Uuid::now_v7())), false),
            (somebody(stack, "centre", None, None), true),
        ] {
            let (found, cursor) = changes(stack, &who, &now).await;
            assert_eq!(found.iter().any(|change| change.subject_id == id), learns, "{who:?}");
            // Another rung may have fired meanwhile: a journey beside this one shortens the hours of whoever blows next.
            let again = changes(stack, &who, &cursor).await.0;
            assert!(!again.iter().any(|one| found.contains(one)), "past its cursor nothing comes again");
        }
        let street = somebody(stack, "street", Some(STREET), None);
        let (found, _) = changes(stack, &street, &now).await;
        let of: Vec<_> = found.iter().filter(|change| change.subject_id == id).map(|one| one.r#type.as_str()).collect();
        assert_eq!(of[..2], ["haiqu.dispatch.whistle.blown.v1", "haiqu.dispatch.rung.fired.v1"]);
    });
}

#[test]
fn a_cursor_that_was_altered_is_refused_naming_the_field_and_one_of_another_service_too() {
    run(async {
        let stack = system_tests::stack().await;
        let street = somebody(stack, "street", Some(STREET), None);
        let request = ListGrievanceChangesRequest::default();
        let mut grievances = GrievanceServiceClient::new(channel(stack, "grievances").unwrap());
        let foreign =
            grievances.list_grievance_changes(street.request(request)).await.unwrap().into_inner().next_cursor;
        for cursor in ["nonsense", "AAAA"] {
            let request = ListWhistleChangesRequest { cursor: cursor.into(), page_size: 0 };
            let status = whistles(stack).list_whistle_changes(street.request(request)).await.unwrap_err();
            let details = status.get_error_details();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(details.bad_request().unwrap().field_violations[0].field, "cursor");
        }
        let request = ListWhistleChangesRequest { cursor: foreign, page_size: 0 };
        let status = whistles(stack).list_whistle_changes(street.request(request)).await.unwrap_err();
        assert_eq!(of_no_use(&status), "LOG_CHANGED", "it is of another log");
    });
}

/// Why a genuine cursor does not go on.
fn of_no_use(status: &Status) -> String {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    status.get_error_details().error_info().unwrap().reason.clone()
}

async fn watch(stack: &Stack, who: &Somebody, cursor: &str) -> Streaming<WatchWhistlesResponse> {
    let mut client = whistles(stack);
    loop {
        let mut request = tonic::Request::new(WatchWhistlesRequest { cursor: cursor.into() });
        let token = format!("Bearer {}", who.token());
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        match client.watch_whistles(request).await {
            Ok(stream) => return stream.into_inner(),
            Err(status) => assert!(local::people::passing(status.code()), "{status}"),
        }
        local::pause(Duration::from_millis(50)).await;
    }
}

/// Reads on until this whistle's change of this type; the cursor after it. None when the stream ends first.
async fn until(stream: &mut Streaming<WatchWhistlesResponse>, whistle: &str, kind: &str) -> Option<String> {
    while let Ok(Some(beat)) = stream.message().await {
        if beat.change.is_some_and(|change| change.subject_id == whistle && change.r#type == kind) {
            return Some(beat.cursor);
        }
    }
    None
}

#[test]
fn a_watcher_that_goes_on_from_its_cursor_misses_nothing_though_who_served_it_was_killed() {
    run(async {
        let stack = Stack::start(&system_tests::options()).await.unwrap();
        let street = somebody(&stack, "street", Some(STREET), None);
        let mut stream = watch(&stack, &street, "").await;
        let (matter, first) = blown(&stack).await;
        let kind = "haiqu.dispatch.whistle.blown.v1";
        let cursor = until(&mut stream, &first.whistle.whistle_id, kind).await.unwrap();
        stack.kill("dispatch").await;
        let play = Play::new(&stack).unwrap();
        let second = play.blow(&matter, 0).await.unwrap();
        let mut stream = watch(&stack, &street, &cursor).await;
        assert!(until(&mut stream, &second.whistle.whistle_id, kind).await.is_some());
        play.answer(&matter.units[0], second.assignments[0].id).await.unwrap();
        let live = until(&mut stream, &second.whistle.whistle_id, "haiqu.dispatch.assignment.answered.v1").await;
        assert!(live.is_some(), "what happens later comes as it happens");
        cursors_older_than_the_log_are_told_so(&stack, &street, &cursor).await;
        stack.stop().await;
    });
}

async fn cursors_older_than_the_log_are_told_so(stack: &Stack, who: &Somebody, cursor: &str) {
    let mut dispatch = PgConnection::connect(&stack.databases["dispatch"]).await.unwrap();
    let old = "delete from outbox where position < (select position from log_head)";
    assert!(sqlx::query(old).execute(&mut dispatch).await.unwrap().rows_affected() > 1);
    let request = ListWhistleChangesRequest { cursor: cursor.into(), page_size: 0 };
    let pulled = whistles(stack).list_whistle_changes(who.request(request)).await.unwrap_err();
    assert_eq!(of_no_use(&pulled), "CURSOR_EXPIRED");
    let request = WatchWhistlesRequest { cursor: cursor.into() };
    let watched = whistles(stack).watch_whistles(who.request(request)).await.unwrap_err();
    assert_eq!(of_no_use(&watched), "CURSOR_EXPIRED");
}

#[test]
fn a_stream_is_read_by_json() {
    run(async {
        let stack = system_tests::stack().await;
        let street = somebody(stack, "street", Some(COMMUNITY), None);
        let url = format!("{}/haiqu.dispatch.v1.WhistleService/WatchWhistles", stack.addresses("dispatch")[0]);
        let request = reqwest::Client::new().post(url).bearer_auth(street.token());
        let request = request.header("content-type", "application/connect+json").body("\0\0\0\0\u{2}{}");
        let mut response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/connect+json");
        let (_, blown) = blown(stack).await;
        let mut buffer = Vec::new();
        let found = async {
            while let Some(chunk) = response.chunk().await.unwrap() {
                buffer.extend_from_slice(&chunk);
                while let Some(message) = message(&mut buffer) {
                    if message["change"]["subjectId"] == blown.whistle.whistle_id {
                        return true;
                    }
                }
            }
            false
        };
        assert!(tokio::time::timeout(testing::PATIENCE, found).await.unwrap());
    });
}

/// The next whole message of a Connect stream.
pub fn message(buffer: &mut Vec<u8>) -> Option<Value> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().unwrap()) as usize;
    let message = serde_json::from_slice(buffer.get(5..5 + length)?).unwrap();
    buffer.drain(..5 + length);
    Some(message)
}
