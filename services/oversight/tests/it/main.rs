//! Oversight, on real Postgres: one case a rung, held where the platform was late, corrected where a card was annulled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::base::time::to_wire;
use foundation::base::{Timestamp, id};
use foundation::data::{Db, clock};
use foundation::out::lease::LEASE;
use foundation::out::store::{accepted, ended, mark_left, take};
use foundation::out::{Leased, Outcome};
use oversight::domain::CaseState;
use oversight::domain::case::{Command, Refusal};
use oversight::operations::case::run;
use oversight::{Error, SCHEMA, routes};
use proto::common::v1::Card;
use proto::events::v1::rung_effect::{Effect, Push};
use proto::events::v1::{Actor, AssignmentRef, CardAnnulled, RungEffect, RungFired, WhistleRef};
use testing::{database, person, receive};
use uuid::Uuid;

async fn pushing(db: &Db) -> RungFired {
    let now = clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap();
    let [whistle_id, assignment_id, unit_id, ladder_id, effect_id] = std::array::from_fn(|_| id::new().to_string());
    RungFired {
        whistle: Some(WhistleRef { whistle_id, ..WhistleRef::default() }),
        assignment: Some(AssignmentRef { assignment_id, unit_id, ..AssignmentRef::default() }),
        ladder_id,
        rung: 4,
        due_time: Some(to_wire(now)),
        fire_time: Some(to_wire(now)),
        platform_fault_after_ms: 300_000,
        effects: vec![RungEffect { effect_id, effect: Some(Effect::Push(Push {})) }],
        ..RungFired::default()
    }
}

fn id_of(rung: &RungFired) -> Uuid {
    rung.effects[0].effect_id.parse().unwrap()
}

async fn taken(db: &Db, way: &str) -> Vec<Leased> {
    take(&mut db.work().acquire().await.unwrap(), way, &db.instance, LEASE, 10).await.unwrap()
}

async fn release(db: &Db, id: Uuid) -> Result<CaseState, Error> {
    let centre = testing::context("/haiqu.oversight.v1.CaseService/ReleaseCase", &person("centre", None, None)).await;
    let mut tx = db.begin().await.unwrap();
    let changed = run(&mut tx, &centre, Command::Release(id)).await?;
    db.commit(tx).await.unwrap();
    Ok(changed.case.state)
}

#[test]
fn a_rung_received_twice_makes_one_case_and_a_drill_none_that_leaves() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let rung = pushing(&db).await;
        receive(&db, &routes(), &rung).await;
        receive(&db, &routes(), &rung).await;
        receive(&db, &routes(), &RungFired { drill: true, ..pushing(&db).await }).await;
        let cases = taken(&db, "push").await;
        assert_eq!(cases.iter().map(|one| one.id).collect::<Vec<_>>(), [id_of(&rung)]);
    });
}

#[test]
fn a_held_case_leaves_only_after_its_release_by_somebody_who_is_on_record() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let rung = pushing(&db).await;
        receive(&db, &routes(), &rung).await;
        let refused = release(&db, id_of(&rung)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::NotHeld(CaseState::Pending)))), "{refused:?}");
        let case = taken(&db, "push").await.remove(0);
        let mut tx = db.begin().await.unwrap();
        ended(&mut tx, &[(&case, &Outcome::Held)]).await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!(release(&db, id_of(&rung)).await.unwrap(), CaseState::Pending);
        assert!(taken(&db, "push").await[0].released);
        let past: (String, String) =
            sqlx::query_as("select kind, actor from history").fetch_one(&db.work()).await.unwrap();
        assert_eq!(past, ("case_released".into(), "test-centre".into()));
    });
}

#[test]
fn a_card_annulled_after_the_push_makes_one_correction_that_waits_for_its_receipt_and_before_it_none() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let rung = pushing(&db).await;
        receive(&db, &routes(), &rung).await;
        let annul = async |number: i32| {
            let annulled = CardAnnulled {
                whistle: rung.whistle.clone(),
                assignment: rung.assignment.clone(),
                ladder_id: rung.ladder_id.clone(),
                rung: number,
                card: Card::Yellow.into(),
                annul_time: Some(to_wire(Timestamp::UNIX_EPOCH)),
                version: 7,
                actor: Some(Actor::default()),
            };
            receive(&db, &routes(), &annulled).await;
        };
        annul(1).await;
        let stale = taken(&db, "push").await.remove(0);
        sqlx::query("update delivery set attempt_at = now()").execute(&db.work()).await.unwrap();
        let case = taken(&db, "push").await.remove(0);
        assert!(!mark_left(&db, &stale).await.unwrap(), "a stale lease sends nothing");
        assert!(mark_left(&db, &case).await.unwrap());
        annul(2).await;
        annul(2).await;
        assert!(taken(&db, "correction").await.is_empty(), "its case has no receipt yet");
        let mut tx = db.begin().await.unwrap();
        accepted(&mut tx, &[(case.id, "YG-1")], false).await.unwrap();
        db.commit(tx).await.unwrap();
        assert_eq!(taken(&db, "correction").await.len(), 1);
        let lines: i64 = sqlx::query_scalar("select count(*) from timeline").fetch_one(&db.work()).await.unwrap();
        assert_eq!(lines, 3, "the rung and two annulments");
    });
}

#[test]
fn as_many_statements_write_many_events_down_as_one() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let mut rungs = Vec::new();
        for _ in 0..20 {
            rungs.push(testing::envelope(&pushing(&db).await, Timestamp::UNIX_EPOCH));
        }
        let (one, many) = (&rungs[..1], &rungs[1..]);
        let one = testing::statements(&db, &routes(), one).await;
        assert_eq!(one, testing::statements(&db, &routes(), many).await);
        assert_eq!(taken(&db, "push").await.len(), 10);
    });
}
