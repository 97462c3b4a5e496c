//! Dispatch: the ladder's rules by property tests, and what only real locks can show on real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ladder;
mod locks;
mod model;
mod whistles;

use dispatch::domain::command::{Assignee, Blow, Command};
use dispatch::domain::directory::{self, Contact};
use dispatch::domain::whistle::Changed;
use dispatch::domain::{AssignmentId, Difficulty, GrievanceId, LadderId, Role, Target, UnitId, WhistleId};
use dispatch::{Error, SCHEMA, operations};
use foundation::base::{Context, Timestamp, id};
use foundation::data::{Db, clock};
use sqlx::PgConnection;
use testing::person;

async fn database() -> Db {
    testing::database(SCHEMA).await
}

/// The governance centre, which may answer for any unit.
async fn centre() -> Context {
    testing::context("/haiqu.dispatch.v1.WhistleService/AnswerAssignment", &person("centre", None, None)).await
}

async fn now(db: &Db) -> Timestamp {
    clock::now(&mut db.work().acquire().await.unwrap()).await.unwrap()
}

/// Units with all their contacts.
async fn units(db: &Db, count: usize) -> Vec<UnitId> {
    let (mut ids, contact) = (Vec::new(), |role| Contact { role, name: "某人".into(), phone: "13800000000".into() });
    for number in 0..count {
        let contacts = vec![contact(Target::Duty), contact(Target::Head)];
        ids.push(put_unit(db, &format!("单位{number}"), contacts).await);
    }
    let (name, phone) = ("某副区长".into(), "13900000000".into());
    put(db, directory::Command::PutDeputyMayor { matter: "HEATING".into(), name, phone, read: None }).await;
    ids
}

async fn put_unit(db: &Db, name: &str, contacts: Vec<Contact>) -> UnitId {
    let id = UnitId(id::new());
    put(db, directory::Command::PutUnit { id, name: name.into(), contacts, read: None }).await;
    id
}

async fn put(db: &Db, command: directory::Command) {
    let mut tx = db.begin().await.unwrap();
    operations::directory::run(&mut tx, &centre().await, command).await.unwrap();
    db.commit(tx).await.unwrap();
}

/// Carries out a command in the centre's name.
async fn run(tx: &mut PgConnection, command: Command) -> Result<Changed, Error> {
    operations::whistle::run(tx, &centre().await, command).await
}

/// The same in a transaction of its own.
async fn done(db: &Db, command: Command) -> Changed {
    let mut tx = db.begin().await.unwrap();
    let changed = run(&mut tx, command).await.unwrap();
    db.commit(tx).await.unwrap();
    changed
}

async fn blow(db: &Db, units: &[UnitId], policy: i64) -> Changed {
    done(db, asked(db, GrievanceId(id::new()), units, policy).await).await
}

async fn asked(db: &Db, grievance: GrievanceId, units: &[UnitId], policy_version: i64) -> Command {
    let role = |index| if index == 0 { Role::Lead } else { Role::Supporting };
    let assignee = |(index, unit): (usize, &UnitId)| Assignee {
        unit: *unit,
        role: role(index),
        assignment: AssignmentId(id::new()),
        ladder: LadderId(id::new()),
    };
    Command::Blow(Box::new(Blow {
        id: WhistleId(id::new()),
        grievance,
        area: "150302004".into(),
        matter: "HEATING".into(),
        title: "暖气不热".into(),
        place: "示例小区".into(),
        difficulty: Difficulty::Complex,
        assignees: units.iter().enumerate().map(assignee).collect(),
        handle_due_at: now(db).await + chrono::TimeDelta::days(3),
        policy_version,
    }))
}

fn answer(assignment: AssignmentId, who: &str) -> Command {
    Command::Answer { assignment, ladder: LadderId(id::new()), responsible_person: who.into() }
}

fn submit(assignment: AssignmentId) -> Command {
    Command::Submit { assignment, result: "好了".into(), evidence: Vec::new() }
}
