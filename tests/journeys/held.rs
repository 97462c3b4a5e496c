//! After a restore rungs fire, and nothing leaves the house until ops, seeing what would leave, releases it.

use local::people::{Somebody, channel, request_id};
use local::scenario::{Play, heating};
use local::servers::execute;
use local::stack::Stack;
use proto::common::v1::{EffectKind, TargetRole};
use proto::ops::v1::hold_service_client::HoldServiceClient;
use proto::ops::v1::{GetHoldRequest, ListHeldEffectsRequest, ReleaseHoldRequest};
use testing::{eventually, run};

/// Puts a copy in the place of a service's database, under its feet.
async fn restore(stack: &Stack, service: &str) {
    let name = stack.databases[service].rsplit('/').next().unwrap();
    let mut superuser = stack.servers.superuser("postgres").await.unwrap();
    for statement in [
        format!("alter database {name} allow_connections false"),
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
        format!("alter database {name} rename to {name}_old"),
        format!("create database {name} template {name}_old owner {name}"),
    ] {
        execute(&mut superuser, statement).await.unwrap();
    }
}

#[test]
fn a_restored_dispatch_lets_nothing_leave_until_it_is_released() {
    run(async {
        let stack = Stack::start(&system_tests::options()).await.unwrap();
        let play = Play::new(&stack).unwrap();
        let matter = heating();
        play.enter(&matter).await.unwrap();
        restore(&stack, "dispatch").await;
        let blown = play.blow(&matter, 0).await.unwrap();
        let ops = Somebody::new(&stack.issuer, "ops", "ops", None, None).unwrap();
        let hold = HoldServiceClient::new(channel(&stack, "dispatch").unwrap());
        let get =
            async || ops.call(GetHoldRequest {}, async |request| hold.clone().get_hold(request).await).await.unwrap();
        assert!(get().await.hold_time.is_some());
        let list = ListHeldEffectsRequest::default();
        let list = ops.call(list, async |request| hold.clone().list_held_effects(request).await).await.unwrap();
        let waiting: Vec<_> = list.effects.iter().map(|effect| (effect.kind(), effect.target())).collect();
        assert_eq!((waiting, list.total_size), (vec![(EffectKind::Sms, TargetRole::Duty)], 1));
        assert_eq!(list.effects[0].assignment_id, blown.assignments[0].id.to_string());
        let seen = || stack.ledger.read().unwrap().iter().any(|seen| seen.id == list.effects[0].effect_id);
        // Notifications has taken the reminder up, and dispatch told it to wait.
        let tried = || async {
            let mut notifications =
                sqlx::PgPool::connect(&stack.databases["notifications"]).await.unwrap().acquire().await.unwrap();
            let attempts: Option<i32> =
                sqlx::query_scalar("select max(attempts) from delivery").fetch_one(&mut *notifications).await.unwrap();
            attempts.is_some_and(|attempts| attempts >= 3)
        };
        eventually("the reminder was tried three times", tried).await;
        assert!(!seen(), "it has left although dispatch is held");
        let release = ReleaseHoldRequest { request_id: request_id() };
        let released = ops.call(release, async |request| hold.clone().release_hold(request).await).await.unwrap();
        assert!(released.hold_time.is_none());
        eventually("the reminder leaves after the release", || async { seen() }).await;
        stack.stop().await;
    });
}
