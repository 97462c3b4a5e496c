//! Who may call what, tried from outside: every method as every role, and with no, an expired, a foreign and a tampered token.

use local::issuer::{Issuer, Person};
use local::people::STREET;
use local::stack::Stack;
use proto::access::{ACCESS, Relation, Role};
use serde_json::Value;
use testing::run;
use uuid::Uuid;

/// Which service serves it.
pub fn service_of(rpc: &str) -> &str {
    match rpc.split('.').nth(1).unwrap() {
        // Every service serves these two.
        "events" | "ops" => "dispatch",
        own => own,
    }
}

async fn call(stack: &Stack, rpc: &str, token: Option<&str>) -> (u16, Value) {
    let service = service_of(rpc);
    let streams = rpc.contains("/Watch");
    let (content, body) = match streams {
        true => ("application/connect+json", "\0\0\0\0\u{2}{}"),
        false => ("application/json", "{}"),
    };
    let url = format!("{}{rpc}", stack.addresses(service)[0]);
    let mut request = reqwest::Client::new().post(url).header("content-type", content).body(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    match streams {
        true => first_of_stream(response).await,
        false => (response.status().as_u16(), response.json().await.unwrap()),
    }
}

/// What a stream gives first, or why it ended, under the status that a single answer would have.
async fn first_of_stream(mut response: reqwest::Response) -> (u16, Value) {
    let mut first = response.chunk().await.unwrap().unwrap().to_vec();
    let message = super::feed::message(&mut first).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&first)));
    match message["error"]["code"].as_str() {
        None => (200, message),
        Some("unauthenticated") => (401, message["error"].clone()),
        Some("permission_denied") => (403, message["error"].clone()),
        Some(_) => (400, message["error"].clone()),
    }
}

fn person(role: Role) -> Person {
    Person {
        sub: "somebody".into(),
        roles: vec![role.name().into()],
        area: Some(STREET.into()),
        unit: Some(Uuid::max().to_string()),
        matters: vec!["HEATING".into()],
    }
}

#[test]
fn every_role_may_call_exactly_what_the_table_grants() {
    run(async {
        let stack = system_tests::stack().await;
        for row in ACCESS {
            let Some(grants) = row.grants else { continue };
            for role in Role::ALL {
                let token = stack.issuer.token(&person(role)).unwrap();
                let (status, answer) = call(stack, row.rpc, Some(&token)).await;
                let granted =
                    grants.iter().any(|(held, relation)| *held == role && !matches!(relation, Relation::Workload(_)));
                assert_eq!(status != 403, granted, "{} as {}: {answer}", row.rpc, role.name());
                assert_ne!(status, 500, "{} as {}: {answer}", row.rpc, role.name());
                assert_ne!(status, 401, "{} as {}: {answer}", row.rpc, role.name());
            }
        }
    });
}

#[test]
fn without_a_good_token_nothing_that_needs_one_is_answered() {
    run(async {
        let stack = system_tests::stack().await;
        let foreign = Issuer::start().await.unwrap().token(&person(Role::Centre)).unwrap();
        let expired = stack.issuer.token_until(&person(Role::Centre), local::now().timestamp() - 60).unwrap();
        let good = stack.issuer.token(&person(Role::Centre)).unwrap();
        let (head, _) = good.rsplit_once('.').unwrap();
        let tampered = format!("{head}.{}", "A".repeat(86));
        for row in ACCESS.iter().filter(|row| row.grants.is_some()) {
            for (what, token) in [
                ("no", None),
                ("an expired", Some(&expired)),
                ("a foreign", Some(&foreign)),
                ("a tampered", Some(&tampered)),
            ] {
                let (status, answer) = call(stack, row.rpc, token.map(String::as_str)).await;
                assert_eq!(
                    (status, &answer["code"]),
                    (401, &Value::from("unauthenticated")),
                    "{} with {what} token",
                    row.rpc
                );
            }
        }
    });
}

#[test]
fn what_carries_its_own_credential_is_answered_without_a_token() {
    run(async {
        let stack = system_tests::stack().await;
        for row in ACCESS.iter().filter(|row| row.grants.is_none()) {
            assert_eq!(call(stack, row.rpc, None).await.0, 400, "{}", row.rpc);
        }
    });
}

#[test]
fn a_method_that_is_in_no_table_is_denied() {
    run(async {
        let stack = system_tests::stack().await;
        let token = stack.issuer.token(&person(Role::Centre)).unwrap();
        let (status, _) = call(stack, "/haiqu.dispatch.v1.WhistleService/Nothing", Some(&token)).await;
        assert_eq!(status, 501);
    });
}
