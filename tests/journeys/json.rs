//! The same port answers JSON to curl, and the page behind the link to a phone.

use std::process::Command;

use local::people::COMMUNITY;
use local::stack::Stack;
use serde_json::{Value, json};
use testing::run;

/// HTTP status and body, by curl as anybody would.
fn curl(stack: &Stack, service: &str, path: &str, role: Option<&str>, body: &str) -> (String, Value) {
    let url = format!("{}{path}", stack.addresses(service)[0]);
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}", "-H", "content-type: application/json", "-d", body, &url]);
    if let Some(role) = role {
        let person = local::issuer::Person {
            sub: role.into(),
            roles: vec![role.into()],
            area: Some(COMMUNITY.into()),
            ..local::issuer::Person::default()
        };
        curl.args(["-H", &format!("authorization: Bearer {}", stack.issuer.token(&person).unwrap())]);
    }
    let output = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    let (body, status) = output.rsplit_once('\n').unwrap();
    (status.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| json!({ "text": body })))
}

const SUBMIT: &str = "/haiqu.grievances.v1.GrievanceService/SubmitGrievance";

#[test]
fn a_grievance_is_raised_and_read_by_json() {
    run(async {
        let stack = system_tests::stack().await;
        let body = json!({
            "requestId": local::people::request_id(), "channel": "SPEAK_UP", "text": "路灯不亮", "place": "示例路", "area": COMMUNITY,
        });
        let (status, raised) = curl(stack, "grievances", SUBMIT, Some("grid_worker"), &body.to_string());
        assert_eq!((status.as_str(), raised["state"].as_str()), ("200", Some("GRIEVANCE_STATE_RAISED")), "{raised}");
        let again = curl(stack, "grievances", SUBMIT, Some("grid_worker"), &body.to_string());
        assert_eq!(again, (status, raised));
    });
}

#[test]
fn wrong_fields_are_named_with_their_details_readable() {
    run(async {
        let stack = system_tests::stack().await;
        let body = json!({ "requestId": local::people::request_id(), "channel": "SPEAK_UP", "area": "15" }).to_string();
        let (status, error) = curl(stack, "grievances", SUBMIT, Some("grid_worker"), &body);
        assert_eq!((status.as_str(), error["code"].as_str()), ("400", Some("invalid_argument")));
        let violations = error["details"][0]["debug"]["fieldViolations"].as_array().unwrap();
        let fields: Vec<_> = violations.iter().map(|one| one["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["text", "place", "area"]);
    });
}

#[test]
fn what_is_no_json_of_this_message_is_refused() {
    run(async {
        let stack = system_tests::stack().await;
        for body in ["{", "[]", r#"{"nonsense":1}"#, r#"{"channel":7}"#, r#"{} {}"#, ""] {
            let (status, error) = curl(stack, "grievances", SUBMIT, Some("grid_worker"), body);
            assert_eq!((status.as_str(), error["code"].as_str()), ("400", Some("invalid_argument")), "{body}: {error}");
        }
    });
}

#[test]
fn errors_have_their_http_status() {
    run(async {
        let stack = system_tests::stack().await;
        let (status, error) = curl(stack, "grievances", SUBMIT, None, "{}");
        assert_eq!((status.as_str(), error["code"].as_str()), ("401", Some("unauthenticated")));
        let (status, error) = curl(stack, "grievances", SUBMIT, Some("merchant"), "{}");
        assert_eq!((status.as_str(), error["code"].as_str()), ("403", Some("permission_denied")));
        let (status, error) = curl(stack, "grievances", "/haiqu.grievances.v1.GrievanceService/Nothing", None, "{}");
        assert_eq!((status.as_str(), error["code"].as_str()), ("501", Some("unimplemented")));
        let get = "/haiqu.grievances.v1.GrievanceService/GetGrievance";
        let nobody = json!({ "grievanceId": uuid::Uuid::now_v7() }).to_string();
        let (status, error) = curl(stack, "grievances", get, Some("street"), &nobody);
        assert_eq!((status.as_str(), error["code"].as_str()), ("404", Some("not_found")));
    });
}

#[test]
fn a_body_over_the_limit_is_refused_saying_the_limit() {
    run(async {
        let stack = system_tests::stack().await;
        let file = std::env::temp_dir().join(format!("large-{}.json", uuid::Uuid::now_v7()));
        let body = json!({ "reason": "长".repeat(300_000) });
        std::fs::write(&file, body.to_string()).unwrap();
        let withdraw = "/haiqu.dispatch.v1.WhistleService/WithdrawWhistle";
        let (status, error) = curl(stack, "dispatch", withdraw, Some("street"), &format!("@{}", file.display()));
        assert_eq!((status.as_str(), error["code"].as_str()), ("429", Some("resource_exhausted")), "{error}");
        assert!(error["message"].as_str().unwrap().contains("262144"), "{error}");
        std::fs::remove_file(file).unwrap();
    });
}

#[test]
fn the_page_behind_a_link_asks_before_it_answers_and_refuses_a_forged_one() {
    run(async {
        let stack = system_tests::stack().await;
        let page = format!("{}/a/{}", stack.addresses("notifications")[0], "A".repeat(43));
        let shown = reqwest::get(&page).await.unwrap();
        assert_eq!(shown.status(), 200);
        assert!(shown.text().await.unwrap().contains("<button>应哨</button>"));
        let form = reqwest::Client::new().post(&page).form(&[("responsible_person", "王工")]).send().await.unwrap();
        assert_eq!(form.status(), 410);
        assert!(form.text().await.unwrap().contains("此链接无效"));
    });
}
