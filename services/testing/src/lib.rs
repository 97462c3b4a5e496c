//! For tests only: one runtime for all tests of a program, one pair of servers, a database each, callers with real tokens, events as they
//! arrive. Everything ends with the program.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use foundation::base::{Context, id};
use foundation::call::Auth;
use foundation::call::auth::Credentials;
use foundation::data::{Db, Schema, db, schema};
use foundation::log::Envelope;
use foundation::log::inbox::{self, Outcome};
use foundation::log::routes::Routes;
use local::issuer::{Issuer, Person};
use local::servers::{Given, Servers, create_database};
use proto::Event;
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use uuid::Uuid;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| match Runtime::new() {
    Ok(runtime) => runtime,
    Err(error) => unreachable!("no runtime, no tests: {error}"),
});
static SERVERS: OnceCell<Servers> = OnceCell::const_new();
static ISSUER: OnceCell<(Issuer, Auth)> = OnceCell::const_new();

/// Runs a test on the program's one runtime: what it starts lives on for the others.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// The servers of this program; those that the environment names, or private ones.
pub async fn servers() -> &'static Servers {
    let start = || async {
        let (postgres_url, nats_url) = (environment("HAIQU_POSTGRES_URL"), environment("HAIQU_NATS_URL"));
        let given = Given { postgres_url, nats_url, ..Given::default() };
        match Servers::start(&given).await {
            Ok(servers) => servers,
            Err(error) => unreachable!("no servers, no tests: {error:#}"),
        }
    };
    SERVERS.get_or_init(start).await
}

#[expect(clippy::disallowed_methods, reason = "tests have no command line")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// URL of a new, empty database with a role of its own.
pub async fn empty_database() -> anyhow::Result<String> {
    let (name, password) = (format!("test_{:016x}", rand::random::<u64>()), "test");
    create_database(servers().await, &name, password).await?;
    servers().await.url(&name, password, &name)
}

/// A new database of a service, migrated, with its URL.
pub async fn database_with_url(schema: Schema) -> (Db, SecretString) {
    let made = async {
        let url = SecretString::from(empty_database().await?);
        schema::migrate(&url, schema).await?;
        Ok::<_, anyhow::Error>((db::connect(&url, schema).await?, url))
    };
    match made.await {
        Ok(made) => made,
        Err(error) => unreachable!("no database, no test: {error:#}"),
    }
}

/// A new database of a service, migrated.
pub async fn database(schema: Schema) -> Db {
    database_with_url(schema).await.0
}

/// How long a test waits before it gives up: long, for it does not know its machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again until it holds; fails the test, saying what did not come true, when nobody would wait for it any longer.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if holds().await {
            return;
        }
        local::pause(Duration::from_millis(20)).await;
    }
    unreachable!("did not come true within {PATIENCE:?}: {what}");
}

/// Somebody with this role, in this area or of this unit.
pub fn person(role: &str, area: Option<&str>, unit: Option<Uuid>) -> Person {
    Person {
        sub: format!("test-{role}"),
        roles: vec![role.to_owned()],
        area: area.map(str::to_owned),
        unit: unit.map(|unit| unit.to_string()),
        matters: Vec::new(),
    }
}

/// What this program's callers show their tokens to.
async fn auth() -> anyhow::Result<&'static (Issuer, Auth)> {
    let start = || async {
        let issuer = Issuer::start().await?;
        let auth = Auth::new("testing", &issuer.url, "haiqu", issuer.client_secret.clone().into())?;
        Ok((issuer, auth))
    };
    ISSUER.get_or_try_init(start).await
}

/// How a service of this program shows who it is.
pub async fn credentials() -> Credentials {
    match auth().await {
        Ok((_, auth)) => auth.credentials.clone(),
        Err(error) => unreachable!("no issuer, no tests: {error:#}"),
    }
}

/// What the auth layer makes of this person's call: a real token of an issuer of this program, judged by the table.
pub async fn context(rpc: &str, person: &Person) -> Context {
    let admitted = async {
        let (issuer, auth) = auth().await?;
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {}", issuer.token(person)?).parse()?);
        let admitted = auth.admit(rpc, &headers).await.map_err(|status| anyhow::anyhow!("{status}"))?;
        admitted.ok_or_else(|| anyhow::anyhow!("anybody may call {rpc}"))
    };
    match admitted.await {
        Ok(admitted) => admitted.context,
        Err(error) => unreachable!("{person:?} may not call {rpc}: {error:#}"),
    }
}

/// The event as it arrives, at some position.
pub fn envelope(event: &impl Event, db_now: foundation::base::Timestamp) -> Envelope {
    fn subject<E: Event>(_: &E) -> &'static str {
        E::SUBJECT
    }
    Envelope {
        id: id::new(),
        subject: subject(event).to_owned(),
        aggregate: event.aggregate().to_owned(),
        payload: event.encode_to_vec().into(),
        traceparent: None,
        occurred_at: db_now,
        position: 1,
    }
}

/// How many statements Postgres carries out while these events are applied in one batch.
pub async fn statements(db: &Db, routes: &Routes, events: &[Envelope]) -> i64 {
    let carried_out = async {
        let mut superuser = servers().await.superuser("postgres").await?;
        // Another test may be making it.
        let _ = sqlx::raw_sql("create extension if not exists pg_stat_statements").execute(&mut superuser).await;
        let name: String = sqlx::query_scalar("select current_database()").fetch_one(&db.work()).await?;
        let (mut session, mut count) = (db.session(), [0; 2]);
        // The second time around they are known already: what the inbox itself costs is taken off.
        for (pass, events) in [events, events].into_iter().enumerate() {
            let before = calls(&mut superuser, &name).await?;
            inbox::apply_all(&mut session, routes, events).await;
            count[pass] = calls(&mut superuser, &name).await? - before;
        }
        Ok::<_, anyhow::Error>(count[0] - count[1])
    };
    match carried_out.await {
        Ok(count) => count,
        Err(error) => unreachable!("statements cannot be counted: {error:#}"),
    }
}

async fn calls(superuser: &mut sqlx::PgConnection, database: &str) -> sqlx::Result<i64> {
    let calls = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements s join pg_database d on d.oid = s.dbid
                 where d.datname = $1";
    sqlx::query_scalar(calls).bind(database).fetch_one(superuser).await
}

/// Applies an event as a subscription does.
pub async fn receive(db: &Db, routes: &Routes, event: &impl Event) -> Outcome {
    inbox::apply(db, routes, envelope(event, foundation::base::Timestamp::UNIX_EPOCH)).await
}
