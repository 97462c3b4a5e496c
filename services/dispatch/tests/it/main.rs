//! Dispatch: the ladder's rules by property tests, and what only real locks can show on real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ladder;
mod locks;
mod model;
mod whistles;

use dispatch::domain::{Difficulty, GrievanceId, Role, Target, UnitId};
use dispatch::operations::blow::Blow;
use dispatch::store::directory::{Contact, Unit, put_deputy_mayor, put_unit};
use dispatch::{SCHEMA, operations};
use foundation::auth::Caller;
use foundation::clock::{self, Timestamp};
use foundation::db::{self, Db};
use foundation::id;
use proto::dispatch::v1 as wire;

async fn database() -> Db {
    let url = local::testing::database().await.unwrap().into();
    db::migrate(&url, SCHEMA).await.unwrap();
    db::connect(&url, SCHEMA).await.unwrap()
}

async fn now(db: &Db) -> Timestamp {
    clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap()
}

/// Units with all their contacts.
async fn units(db: &Db, count: usize) -> Vec<UnitId> {
    let mut tx = db.begin().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..count {
        let contact = |role| Contact { role, name: "某人".into(), phone: "13800000000".into() };
        let contacts = vec![contact(Target::Duty), contact(Target::Head)];
        let unit = Unit { id: UnitId(id::new()), name: format!("单位{number}"), contacts };
        put_unit(&mut tx, &unit).await.unwrap();
        ids.push(unit.id);
    }
    put_deputy_mayor(&mut tx, "HEATING", "某副区长", "13900000000").await.unwrap();
    db.commit(tx).await.unwrap();
    ids
}

async fn blow(db: &Db, units: &[UnitId], policy: i64) -> wire::BlowWhistleResponse {
    let mut tx = db.begin().await.unwrap();
    let asked = asked(db, units, policy).await;
    let blown = operations::blow::blow(&mut tx, &Caller::anyone(), asked).await.unwrap();
    db.commit(tx).await.unwrap();
    blown
}

async fn asked(db: &Db, units: &[UnitId], policy: i64) -> Blow {
    let role = |index| if index == 0 { Role::Lead } else { Role::Supporting };
    Blow {
        grievance: GrievanceId(id::new()),
        area: "150302004".into(),
        matter: "HEATING".into(),
        title: "暖气不热".into(),
        place: "示例小区".into(),
        difficulty: Difficulty::Complex,
        calls: units.iter().enumerate().map(|(index, unit)| (*unit, role(index))).collect(),
        handle_by: now(db).await + chrono::TimeDelta::days(3),
        policy,
    }
}
