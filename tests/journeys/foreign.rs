//! Records of others, made from the access table: whoever is let in for some records only does not find the others, by key or in a list,
//! and finds their own. An rpc without a line in [`asked`] fails the test, so that a new one cannot do without.

use futures::future::join_all;
use local::issuer::Person;
use local::people::{COMMUNITY, STREET, request_id};
use local::scenario::{Blown, Matter, Play, heating};
use local::stack::Stack;
use proto::access::{ACCESS, Relation, Role};
use serde_json::{Value, json};
use testing::{eventually, run};
use uuid::Uuid;

use super::access::service_of;

/// Records that somebody has in their scope and somebody else has not.
struct Records {
    matter: Matter,
    blown: Blown,
    /// A grievance that the hotline handed in, and the hotline.
    reported: String,
    hotline: String,
    /// Cursors from before there were any.
    cursors: [(&'static str, String); 2],
}

/// How an rpc is asked for a record.
enum Asked {
    /// By its key.
    Key(Value),
    /// To make one in an area, which must be the caller's.
    Area(Value),
    /// For a list, which shows or does not show this id; and for the same by naming the area or unit of others.
    List(Value, Value, String),
    /// For the changes past a cursor, one of which is of this id.
    Changes(Value, String),
    /// To make one that becomes the caller's, whoever calls.
    Own,
}

impl Records {
    async fn make(stack: &Stack) -> Records {
        let cursors = [("dispatch", "Whistle"), ("grievances", "Grievance")].map(async |(service, noun)| {
            let rpc = format!("/haiqu.{service}.v1.{noun}Service/List{noun}Changes");
            let (_, answer) = call(stack, &rpc, &somebody(Role::Centre), &json!({})).await;
            (service, answer["nextCursor"].as_str().unwrap().to_owned())
        });
        let cursors = join_all(cursors).await.try_into().unwrap();
        let (play, matter) = (Play::new(stack).unwrap(), heating());
        play.enter(&matter).await.unwrap();
        let blown = play.blow(&matter, 0).await.unwrap();
        let hotline = format!("hotline-{}", Uuid::now_v7());
        let submit = json!({ "requestId": request_id(), "channel": "HOTLINE", "text": "暖气不热", "place": "示例路",
                             "area": COMMUNITY, "source": "12345", "sourceId": hotline });
        let who = Person { sub: hotline.clone(), ..somebody(Role::Hotline) };
        let (status, raised) =
            call(stack, "/haiqu.grievances.v1.GrievanceService/SubmitGrievance", &who, &submit).await;
        assert_eq!(status, 200, "{raised}");
        let reported = raised["grievanceId"].as_str().unwrap().to_owned();
        Records { matter, blown, reported, hotline, cursors }
    }

    /// Where the changes of this service begin that are about them.
    fn past(&self, service: &str) -> Value {
        json!({ "cursor": self.cursors.iter().find(|(of, _)| *of == service).unwrap().1 })
    }

    /// Somebody of this role whose records these are.
    fn own(&self, role: Role, relation: Relation) -> Person {
        let own = somebody(role);
        match relation {
            Relation::Area => Person { area: Some(STREET.into()), ..own },
            Relation::Unit => Person { unit: Some(self.matter.units[0].id.to_string()), ..own },
            Relation::Matters => Person { matters: vec![self.matter.code.into()], ..own },
            Relation::Own if role == Role::Hotline => Person { sub: self.hotline.clone(), ..own },
            Relation::Own => Person { sub: self.blown.resident.clone(), ..own },
            Relation::Any | Relation::Workload(_) => unreachable!("they have no records of others"),
        }
    }

    /// People of this role whose records these are not: elsewhere, beside, and below the area in which they lie.
    fn others(&self, role: Role, relation: Relation) -> Vec<Person> {
        let other = somebody(role);
        let area = |area: &str| Person { area: Some(area.into()), ..other.clone() };
        match relation {
            Relation::Area => {
                vec![area("150303"), area("150302005"), area("150302004002"), area(&format!("{COMMUNITY}01")), other]
            }
            Relation::Unit => vec![Person { unit: Some(Uuid::now_v7().to_string()), ..other.clone() }, other],
            Relation::Matters => vec![Person { matters: vec!["CATERING_SMOKE".into()], ..other.clone() }, other],
            Relation::Own => vec![other],
            Relation::Any | Relation::Workload(_) => unreachable!("they have no records of others"),
        }
    }
}

fn somebody(role: Role) -> Person {
    Person { sub: format!("{}-{}", role.name(), Uuid::now_v7()), roles: vec![role.name().into()], ..Person::default() }
}

/// One line for every rpc that somebody may call for some records only.
fn asked(rpc: &str, role: Role, records: &Records) -> Asked {
    let asked = of_grievances(rpc, role, records).or_else(|| of_dispatch(rpc, records));
    asked
        .unwrap_or_else(|| unreachable!("say here how {rpc} is asked for a record: somebody may see some of them only"))
}

fn of_grievances(rpc: &str, role: Role, records: &Records) -> Option<Asked> {
    let Records { blown, hotline, reported, .. } = records;
    let grievance = if role == Role::Hotline { reported } else { &blown.grievance };
    let (id, area) = (request_id(), COMMUNITY);
    Some(match rpc.rsplit('/').next().unwrap() {
        "UploadPhoto" => Asked::Own,
        "SubmitGrievance" if matches!(role, Role::Resident | Role::Hotline) => Asked::Own,
        "SubmitGrievance" => Asked::Area(
            json!({ "requestId": id, "channel": "GRID_PATROL", "text": "路灯不亮", "place": "示例路", "area": area }),
        ),
        "ReviewGrievance" => Asked::Key(
            json!({ "requestId": id, "grievanceId": grievance, "difficulty": { "difficulty": "DIFFICULTY_HARD" } }),
        ),
        "GradeGrievance" => Asked::Key(json!({ "requestId": id, "grievanceId": grievance,
                    "grade": { "outcome": "OUTCOME_SOLVED", "satisfaction": "SATISFACTION_SATISFIED" } })),
        "GetGrievance" => Asked::Key(json!({ "grievanceId": grievance })),
        "LookUpGrievance" => Asked::Key(json!({ "source": "12345", "sourceId": hotline })),
        "ListGrievances" => Asked::List(json!({}), json!({ "area": area }), grievance.clone()),
        "ListGrievanceChanges" | "WatchGrievances" => Asked::Changes(records.past("grievances"), grievance.clone()),
        "RegisterResident" => Asked::Area(json!({ "requestId": id, "area": area, "displayName": "李阿姨" })),
        "GetResident" => Asked::Key(json!({ "residentId": blown.resident })),
        "ListResidents" => Asked::List(json!({}), json!({ "area": area }), blown.resident.clone()),
        _ => return None,
    })
}

fn of_dispatch(rpc: &str, records: &Records) -> Option<Asked> {
    let Records { matter, blown, .. } = records;
    let (whistle, unit) = (&blown.whistle.whistle_id, matter.units[0].id.to_string());
    let assignment = &blown.whistle.assignments[0].assignment_id;
    let (id, area, later) = (request_id(), COMMUNITY, local::now() + chrono::TimeDelta::days(1));
    Some(match rpc.rsplit('/').next().unwrap() {
        "BlowWhistle" => Asked::Area(
            json!({ "requestId": id, "grievanceId": blown.grievance, "area": area, "matter": matter.code, "title": "不热",
                    "place": "示例路", "difficulty": "DIFFICULTY_COMPLEX", "handleDueTime": later,
                    "assignees": [{ "unitId": unit, "role": "ASSIGNMENT_ROLE_LEAD" }] }),
        ),
        "GetWhistle" => Asked::Key(json!({ "whistleId": whistle })),
        "ListWhistles" => Asked::List(json!({}), json!({ "area": area }), whistle.clone()),
        "ListWhistleChanges" | "WatchWhistles" => Asked::Changes(records.past("dispatch"), whistle.clone()),
        "ListAssignments" => Asked::List(json!({}), json!({ "unitId": unit }), assignment.clone()),
        "AnswerAssignment" => {
            Asked::Key(json!({ "requestId": id, "assignmentId": assignment, "responsiblePerson": "王工" }))
        }
        "SubmitAssignment" => Asked::Key(json!({ "requestId": id, "assignmentId": assignment, "result": "已处置",
                    "evidence": [{ "photoId": Uuid::now_v7(), "place": "示例路", "captureTime": local::now() }] })),
        "ConfirmAssignment" => Asked::Key(json!({ "requestId": id, "assignmentId": assignment })),
        "WithdrawWhistle" => Asked::Key(json!({ "requestId": id, "whistleId": whistle, "reason": "误报" })),
        "GetUnit" => Asked::Key(json!({ "unitId": unit })),
        _ => return None,
    })
}

async fn call(stack: &Stack, rpc: &str, who: &Person, body: &Value) -> (u16, Value) {
    let url = format!("{}{rpc}", stack.addresses(service_of(rpc))[0]);
    let request = reqwest::Client::new().post(url).bearer_auth(stack.issuer.token(who).unwrap());
    let response = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Whether what has changed past the cursor is about this id. A heartbeat comes when a stream has no more.
async fn changed(stack: &Stack, rpc: &str, who: &Person, body: &Value, id: &str) -> bool {
    match rpc.contains("/Watch") {
        true => watched(stack, rpc, who, body, id).await,
        false => {
            let mut body = body.clone();
            loop {
                let (status, page) = call(stack, rpc, who, &body).await;
                assert_eq!(status, 200, "{rpc} as {who:?}: {page}");
                if page["changes"].to_string().contains(id) {
                    return true;
                }
                if page["nextCursor"] == body["cursor"] {
                    return false;
                }
                body["cursor"] = page["nextCursor"].clone();
            }
        }
    }
}

async fn watched(stack: &Stack, rpc: &str, who: &Person, body: &Value, id: &str) -> bool {
    let url = format!("{}{rpc}", stack.addresses(service_of(rpc))[0]);
    let request = reqwest::Client::new().post(url).bearer_auth(stack.issuer.token(who).unwrap());
    let (body, mut framed) = (body.to_string(), vec![0]);
    framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    framed.extend(body.into_bytes());
    let request = request.header("content-type", "application/connect+json").body(framed);
    let (mut response, mut buffer, mut heartbeats) = (request.send().await.unwrap(), Vec::new(), 0);
    // One comes at the beginning, the next when everything that was there has been read.
    while heartbeats < 2 {
        buffer.extend_from_slice(&response.chunk().await.unwrap().expect("the stream goes on"));
        while let Some(message) = super::feed::message(&mut buffer) {
            assert!(message["error"].is_null(), "{rpc} as {who:?}: {message}");
            match message["change"]["subjectId"].as_str() {
                Some(subject) if subject == id => return true,
                Some(_) => {}
                None => heartbeats += 1,
            }
        }
    }
    false
}

fn only_reads(rpc: &str) -> bool {
    ["/Get", "/List", "/LookUp", "/Watch"].iter().any(|word| rpc.contains(word))
}

/// Rows of the table with the roles that may see some records only.
fn scoped() -> impl Iterator<Item = (&'static str, Vec<(Role, Relation)>)> {
    ACCESS.iter().filter_map(|row| {
        let some = |(_, relation): &&(Role, Relation)| !matches!(relation, Relation::Any | Relation::Workload(_));
        let scoped: Vec<_> = row.grants.unwrap_or_default().iter().filter(some).copied().collect();
        (!scoped.is_empty()).then_some((row.rpc, scoped))
    })
}

/// Found by whoever may see it: otherwise that others do not find it shows nothing.
async fn own_is_found(stack: &Stack, rpc: &str, who: &Person, asked: &Asked) {
    match asked {
        Asked::Key(body) | Asked::Area(body) => {
            let found = || async {
                let (status, answer) = call(stack, rpc, who, body).await;
                assert!(![401, 403, 500].contains(&status), "{rpc} as {who:?}: {answer}");
                status != 404
            };
            eventually(&format!("{rpc} finds their own as {who:?}"), found).await;
        }
        Asked::List(body, of_own, id) => {
            let shown = |body| async move { call(stack, rpc, who, body).await.1.to_string().contains(id) };
            eventually(&format!("{rpc} shows their own as {who:?}"), || shown(body)).await;
            if who.matters.is_empty() {
                assert!(shown(of_own).await, "{rpc} as {who:?}");
            }
        }
        Asked::Changes(body, id) => {
            let told = || changed(stack, rpc, who, body, id);
            eventually(&format!("{rpc} tells of their own as {who:?}"), told).await;
        }
        Asked::Own => {}
    }
}

async fn anothers_is_not_found(stack: &Stack, rpc: &str, who: &Person, asked: &Asked) {
    match asked {
        Asked::Key(body) | Asked::Area(body) => {
            let (status, answer) = call(stack, rpc, who, body).await;
            assert_eq!(status, 404, "{rpc} as {who:?}: {answer}");
        }
        Asked::List(body, of_others, id) => {
            for body in [body, of_others] {
                let (status, answer) = call(stack, rpc, who, body).await;
                assert!([200, 404].contains(&status), "{rpc} as {who:?}: {answer}");
                assert!(!answer.to_string().contains(id), "{rpc} as {who:?}: {answer}");
            }
        }
        Asked::Changes(body, id) => assert!(!changed(stack, rpc, who, body, id).await, "{rpc} as {who:?}"),
        Asked::Own => {}
    }
}

#[test]
fn records_of_others_are_found_neither_by_key_nor_in_a_list() {
    run(async {
        let stack = system_tests::stack().await;
        let tried = join_all(scoped().map(async |(rpc, grants)| {
            let (records, mut tried) = (Records::make(stack).await, 0);
            for (role, relation) in grants {
                let (asked, own) = (asked(rpc, role, &records), records.own(role, relation));
                if only_reads(rpc) {
                    own_is_found(stack, rpc, &own, &asked).await;
                }
                let others = records.others(role, relation);
                join_all(others.iter().map(|other| anothers_is_not_found(stack, rpc, other, &asked))).await;
                if !only_reads(rpc) {
                    own_is_found(stack, rpc, &own, &asked).await;
                }
                tried += others.len();
            }
            tried
        }));
        let tried: usize = tried.await.into_iter().sum();
        assert!(tried > 100, "only {tried} were tried");
    });
}
