//! Notifications, on real Postgres: what a rung asks for is written down once, and recorded once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::base::time::to_wire;
use foundation::base::{Context, Timestamp, id};
use foundation::data::{Db, clock};
use notifications::domain::CallTaskState;
use notifications::domain::call_task::{Command, Record, Refusal};
use notifications::operations::call_task::run;
use notifications::store::call_task::{Opened, open};
use notifications::{Error, SCHEMA, routes};
use proto::common::v1::{Card, LadderKind, TargetRole};
use proto::events::v1::rung_effect::{Effect, PhoneCall, ShownCard, Sms};
use proto::events::v1::{AssignmentRef, RungEffect, RungFired, WhistleRef};
use testing::{database, person, receive};
use uuid::Uuid;

/// A rung with two reminders, a card and a call.
async fn rung(db: &Db) -> RungFired {
    let now = clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap();
    let effect = |effect| RungEffect { effect_id: id::new().to_string(), effect: Some(effect) };
    let sms = |target: TargetRole| effect(Effect::Sms(Sms { text: 2, target: target.into() }));
    let (caller, callee) = (TargetRole::CentreHead.into(), TargetRole::Head.into());
    RungFired {
        whistle: Some(WhistleRef { whistle_id: id::new().to_string(), ..WhistleRef::default() }),
        assignment: Some(AssignmentRef { assignment_id: id::new().to_string(), ..AssignmentRef::default() }),
        ladder_id: id::new().to_string(),
        kind: LadderKind::Answer.into(),
        rung: 2,
        due_time: Some(to_wire(now)),
        reminder_check_after_ms: 60_000,
        effects: vec![
            sms(TargetRole::Duty),
            sms(TargetRole::Head),
            effect(Effect::Card(ShownCard { card: Card::Yellow.into() })),
            effect(Effect::Call(PhoneCall { caller, callee })),
        ],
        ..RungFired::default()
    }
}

async fn queued(db: &Db) -> Vec<(String, i64)> {
    sqlx::query_as("select way || '/' || state, count(*) from delivery group by 1 order by 1")
        .fetch_all(&db.work())
        .await
        .unwrap()
}

#[test]
fn a_rung_received_twice_asks_for_its_effects_once_and_in_a_drill_nothing_leaves() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let rung = rung(&db).await;
        receive(&db, &routes(), &rung).await;
        receive(&db, &routes(), &rung).await;
        assert_eq!(queued(&db).await, [("call/queued".into(), 1), ("sms/queued".into(), 2)]);
        let leaving: i64 = sqlx::query_scalar("select count(*) from leaving").fetch_one(&db.work()).await.unwrap();
        assert_eq!(leaving, 3, "two reminders and a call would leave now");
        let db = database(SCHEMA).await;
        receive(&db, &routes(), &RungFired { drill: true, ..rung }).await;
        assert_eq!(queued(&db).await, [("call/drill".into(), 1), ("sms/drill".into(), 2)]);
    });
}

#[test]
fn as_many_statements_write_many_rungs_down_as_one() {
    testing::run(async {
        let db = database(SCHEMA).await;
        let mut rungs = Vec::new();
        for _ in 0..20 {
            rungs.push(testing::envelope(&rung(&db).await, Timestamp::UNIX_EPOCH));
        }
        assert_eq!(
            testing::statements(&db, &routes(), &rungs[..1]).await,
            testing::statements(&db, &routes(), &rungs[1..]).await
        );
        assert_eq!(queued(&db).await, [("call/queued".into(), 20), ("sms/queued".into(), 40)]);
    });
}

async fn centre() -> Context {
    testing::context("/haiqu.notifications.v1.CallTaskService/RecordCall", &person("centre", None, None)).await
}

async fn record(db: &Db, task: Uuid, said: &str) -> Result<CallTaskState, Error> {
    let record = Record { caller_name: "主任".into(), called_at: Timestamp::UNIX_EPOCH, said: said.into() };
    let mut tx = db.begin().await.unwrap();
    let changed = run(&mut tx, &centre().await, Command::Record(task, record)).await?;
    db.commit(tx).await.unwrap();
    Ok(changed.task.state)
}

#[test]
fn a_call_is_recorded_once_and_others_learn_of_it() {
    testing::run(async {
        let db = database(SCHEMA).await;
        receive(&db, &routes(), &rung(&db).await).await;
        let task = sqlx::query_scalar("select id from call_task").fetch_one(&db.work()).await.unwrap();
        let early = record(&db, task, "已告知").await;
        assert!(matches!(early, Err(Error::NotFound(_))), "nobody can have called yet: {early:?}");
        let (callee_name, callee_phone, script) = ("负责人".into(), "13800000000".into(), "您好".into());
        let opened = Opened { id: task, callee_name, callee_phone, script, at: Timestamp::UNIX_EPOCH };
        open(&mut db.work().acquire().await.unwrap(), &[opened]).await.unwrap();
        assert_eq!(record(&db, task, "已告知").await.unwrap(), CallTaskState::Recorded);
        let again = record(&db, task, "又告知").await;
        assert!(matches!(again, Err(Error::Refused(Refusal::NotOpen(CallTaskState::Recorded)))), "{again:?}");
        let past: Vec<(String, String)> =
            sqlx::query_as("select kind, actor from history join outbox using (event_id)")
                .fetch_all(&db.work())
                .await
                .unwrap();
        assert_eq!(past, [("call_recorded".into(), "test-centre".into())]);
    });
}
