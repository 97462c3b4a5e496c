//! Bad input over gRPC: a clear typed error, nothing half done.

use local::people::{COMMUNITY, Somebody, channel, request_id};
use local::scenario::{Play, heating, timestamp};
use local::stack::Stack;
use proto::common::v1 as common;
use proto::dispatch::v1::blow_whistle_request::{Assignee, Subject};
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::dispatch::v1::{self as dispatch, directory_service_client::DirectoryServiceClient};
use proto::grievances::v1 as grievances;
use proto::grievances::v1::grievance_service_client::GrievanceServiceClient;
use proto::notifications::v1::alarm_service_client::AlarmServiceClient;
use proto::notifications::v1::{AlarmReason, ListAlarmsRequest};
use sqlx::{Connection as _, PgConnection};
use testing::{eventually, run};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

fn somebody(stack: &Stack, role: &str, area: Option<&str>, unit: Option<Uuid>) -> Somebody {
    Somebody::new(&stack.issuer, role, role, area, unit).unwrap()
}

fn whistles(stack: &Stack) -> WhistleServiceClient<Channel> {
    WhistleServiceClient::new(channel(stack, "dispatch").unwrap())
}

fn grievances_of(stack: &Stack) -> GrievanceServiceClient<Channel> {
    GrievanceServiceClient::new(channel(stack, "grievances").unwrap())
}

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("no BadRequest").field_violations;
    violations.iter().map(|violation| violation.field.clone()).collect()
}

async fn count(stack: &Stack, service: &str, query: &'static str) -> i64 {
    let mut connection = PgConnection::connect(&stack.databases[service]).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

#[test]
fn every_wrong_field_is_named_at_once() {
    run(async {
        let stack = system_tests::stack().await;
        let street = somebody(stack, "street", Some("150302004"), None);
        let request = dispatch::BlowWhistleRequest {
            request_id: request_id(),
            area: "x".into(),
            assignees: vec![
                Assignee { unit_id: "x".into(), role: 1 },
                Assignee { unit_id: Uuid::max().to_string(), role: 9 },
            ],
            ..dispatch::BlowWhistleRequest::default()
        };
        let status = whistles(stack).blow_whistle(street.request(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let expected = [
            "grievance_id",
            "area",
            "matter",
            "title",
            "place",
            "difficulty",
            "assignees[0].unit_id",
            "assignees[1].role",
            "assignees",
            "handle_due_time",
        ];
        assert_eq!(fields(&status), expected);
    });
}

#[test]
fn a_message_over_the_limit_is_refused_saying_the_limit() {
    run(async {
        let stack = system_tests::stack().await;
        let street = somebody(stack, "street", Some("150302004"), None);
        let request = dispatch::WithdrawWhistleRequest {
            reason: "长".repeat(200_000),
            ..dispatch::WithdrawWhistleRequest::default()
        };
        let status = whistles(stack).withdraw_whistle(street.request(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("262144"), "{}", status.message());
    });
}

#[test]
fn what_lies_outside_ones_area_or_unit_is_not_found() {
    run(async {
        let stack = system_tests::stack().await;
        let play = Play::new(stack).unwrap();
        let matter = heating();
        play.enter(&matter).await.unwrap();
        let blown = play.blow(&matter, 0).await.unwrap();
        let request = || dispatch::GetWhistleRequest { whistle_id: blown.whistle.whistle_id.clone() };
        for (who, found) in [
            (somebody(stack, "street", Some("150302004"), None), true),
            (somebody(stack, "street", Some("150302005"), None), false),
            (somebody(stack, "street", None, None), false),
            (somebody(stack, "unit", None, Some(matter.units[0].id)), true),
            (somebody(stack, "unit", None, Some(Uuid::now_v7())), false),
            (somebody(stack, "centre", None, None), true),
        ] {
            let answer = whistles(stack).get_whistle(who.request(request())).await;
            assert_eq!(answer.as_ref().err().map(Status::code), (!found).then_some(Code::NotFound), "{who:?}");
        }
        let answer = dispatch::AnswerAssignmentRequest {
            request_id: request_id(),
            assignment_id: blown.assignments[0].id.to_string(),
            responsible_person: "外人".into(),
        };
        let other = somebody(stack, "unit", None, Some(Uuid::now_v7()));
        let status = whistles(stack).answer_assignment(other.request(answer)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    });
}

#[test]
fn a_step_out_of_order_is_refused_saying_the_state() {
    run(async {
        let stack = system_tests::stack().await;
        let play = Play::new(stack).unwrap();
        let matter = heating();
        play.enter(&matter).await.unwrap();
        let blown = play.blow(&matter, 0).await.unwrap();
        let street = somebody(stack, "street", Some("150302004"), None);
        let assignment_id = blown.assignments[0].id.to_string();
        let request = dispatch::ConfirmAssignmentRequest { request_id: request_id(), assignment_id };
        let status = whistles(stack).confirm_assignment(street.request(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        assert_eq!(details.precondition_failure().unwrap().violations[0].description, "state is whistled");
    });
}

#[test]
fn the_same_request_id_gives_the_same_answer_and_another_body_is_refused() {
    run(async {
        let stack = system_tests::stack().await;
        let matter = heating();
        Play::new(stack).unwrap().enter(&matter).await.unwrap();
        let street = somebody(stack, "street", Some("150302004"), None);
        let mut request = dispatch::BlowWhistleRequest {
            request_id: request_id(),
            subject: Some(Subject::GrievanceId(Uuid::now_v7().to_string())),
            area: COMMUNITY.into(),
            matter: matter.code.into(),
            title: "一次".into(),
            place: matter.place.into(),
            difficulty: common::Difficulty::Complex.into(),
            assignees: vec![Assignee {
                unit_id: matter.units[0].id.to_string(),
                role: common::AssignmentRole::Lead.into(),
            }],
            handle_due_time: Some(timestamp(local::now() + chrono::TimeDelta::days(1))),
            policy_version: 0,
        };
        let first = whistles(stack).blow_whistle(street.request(request.clone())).await.unwrap().into_inner();
        let again = whistles(stack).blow_whistle(street.request(request.clone())).await.unwrap().into_inner();
        assert_eq!(first, again);
        request.title = "另一次".into();
        let status = whistles(stack).blow_whistle(street.request(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "REQUEST_ID_REUSED");
    });
}

#[test]
fn a_photo_that_is_none_is_refused_before_it_is_stored() {
    run(async {
        let stack = system_tests::stack().await;
        let worker = somebody(stack, "grid_worker", Some(COMMUNITY), None);
        let photos = stack.servers.folder.join("photos");
        let content = b"GIF89a not a photo".to_vec().into();
        let request = grievances::UploadPhotoRequest { request_id: request_id(), content };
        let status = grievances_of(stack).upload_photo(worker.request(request.clone())).await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["content".to_owned()]));
        let space = Uuid::new_v5(&request.request_id.parse().unwrap(), b"grid_worker/photo");
        let id = Uuid::new_v5(&space, &request.content);
        assert!(!photos.join(format!("{id}.jpg")).exists());
    });
}

#[test]
fn a_source_may_hand_a_number_in_once() {
    run(async {
        let stack = system_tests::stack().await;
        let hotline = somebody(stack, "hotline", None, None);
        let request = || grievances::SubmitGrievanceRequest {
            request_id: request_id(),
            channel: "HOTLINE".into(),
            text: "暖气不热".into(),
            place: "示例小区".into(),
            area: COMMUNITY.into(),
            source: "12345".into(),
            source_id: "GD-once-only".into(),
            ..grievances::SubmitGrievanceRequest::default()
        };
        grievances_of(stack).submit_grievance(hotline.request(request())).await.unwrap();
        let status = grievances_of(stack).submit_grievance(hotline.request(request())).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "SOURCE_ID_USED");
        assert_eq!(
            count(stack, "grievances", "select count(*) from grievance where source_id = 'GD-once-only'").await,
            1
        );
        let look_up = grievances::LookUpGrievanceRequest { source: "12345".into(), source_id: "GD-once-only".into() };
        let found = grievances_of(stack).look_up_grievance(hotline.request(look_up)).await.unwrap().into_inner();
        assert_eq!(found.state(), grievances::GrievanceState::Raised);
    });
}

#[test]
fn a_whistle_on_a_unit_without_contacts_is_accepted_and_the_centre_has_an_alarm() {
    run(async {
        let stack = system_tests::stack().await;
        let (centre, mut matter) = (somebody(stack, "centre", None, None), heating());
        matter.code = "NOBODY_IN_CHARGE";
        let (unit_id, name) = (matter.units[0].id.to_string(), "无人单位".into());
        let unit = dispatch::Unit { unit_id, name, ..dispatch::Unit::default() };
        let request = dispatch::PutUnitRequest { request_id: request_id(), unit: Some(unit) };
        let mut directory = DirectoryServiceClient::new(channel(stack, "dispatch").unwrap());
        directory.put_unit(centre.request(request)).await.unwrap();
        let gaps = directory.audit_contacts(centre.request(dispatch::AuditContactsRequest::default())).await.unwrap();
        assert!(gaps.into_inner().gaps.iter().any(|gap| gap.unit_id == matter.units[0].id.to_string()));
        let request = dispatch::BlowWhistleRequest {
            request_id: request_id(),
            subject: Some(Subject::GrievanceId(Uuid::now_v7().to_string())),
            area: COMMUNITY.into(),
            matter: matter.code.into(),
            title: matter.title.into(),
            place: matter.place.into(),
            difficulty: common::Difficulty::Complex.into(),
            assignees: vec![Assignee {
                unit_id: matter.units[0].id.to_string(),
                role: common::AssignmentRole::Lead.into(),
            }],
            handle_due_time: Some(timestamp(local::now() + chrono::TimeDelta::days(1))),
            policy_version: 0,
        };
        let blown = whistles(stack).blow_whistle(centre.request(request)).await.unwrap().into_inner();
        assert_eq!(blown.missing_contacts.len(), 3);
        let assignment = blown.assignments[0].assignment_id.clone();
        let alarmed = || async {
            let mut alarms = AlarmServiceClient::new(channel(stack, "notifications").unwrap());
            let list = alarms.list_alarms(centre.request(ListAlarmsRequest::default())).await.unwrap().into_inner();
            list.alarms
                .iter()
                .any(|alarm| alarm.assignment_id == assignment && alarm.reason() == AlarmReason::NoContact)
        };
        eventually("the centre has an alarm", alarmed).await;
    });
}

#[test]
fn a_policy_that_no_whistle_could_live_with_is_refused() {
    run(async {
        use common::TargetRole::{Duty, OversightPlatform};
        let stack = system_tests::stack().await;
        let centre = somebody(stack, "centre", None, None);
        let mut policies =
            dispatch::policy_service_client::PolicyServiceClient::new(channel(stack, "dispatch").unwrap());
        for targets in [vec![Duty, Duty], vec![OversightPlatform]] {
            let rung = dispatch::PolicyRung {
                after: Some(prost_types::Duration::default()),
                sms_text: 1,
                sms_targets: targets.into_iter().map(Into::into).collect(),
                ..dispatch::PolicyRung::default()
            };
            let policy = dispatch::Policy { answer_rungs: vec![rung], ..dispatch::Policy::default() };
            let request = dispatch::CreatePolicyRequest { request_id: request_id(), policy: Some(policy) };
            let status = policies.create_policy(centre.request(request)).await.unwrap_err();
            assert_eq!(
                (status.code(), fields(&status)),
                (Code::InvalidArgument, vec!["policy.answer_rungs[0].sms_targets".to_owned()])
            );
        }
    });
}

#[test]
fn nobody_hands_in_in_anothers_name() {
    run(async {
        let stack = system_tests::stack().await;
        let request = || grievances::SubmitGrievanceRequest {
            request_id: request_id(),
            channel: "SPEAK_UP".into(),
            text: "路灯不亮".into(),
            place: "示例路".into(),
            area: COMMUNITY.into(),
            ..grievances::SubmitGrievanceRequest::default()
        };
        let resident = somebody(stack, "resident", Some(COMMUNITY), None);
        let other = grievances::SubmitGrievanceRequest { resident_id: Uuid::now_v7().to_string(), ..request() };
        let status = grievances_of(stack).submit_grievance(resident.request(other)).await.unwrap_err();
        assert_eq!(fields(&status), ["resident_id"]);
        let squatted =
            grievances::SubmitGrievanceRequest { source: "12345".into(), source_id: "GD-1".into(), ..request() };
        let status = grievances_of(stack).submit_grievance(resident.request(squatted)).await.unwrap_err();
        assert_eq!(fields(&status), ["source"]);
    });
}
