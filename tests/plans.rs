//! Every statement that the services send finds its rows by an index, however many there are: the plan has no scan of a table that
//! grows, and none of a whole index but for the first rows of its order. Indexes of what is under way only may be read as a whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use foundation::data::{Schema, schema};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};
use testing::{empty_database as database, run};

const SERVICES: [Schema; 5] =
    [residents::SCHEMA, grievances::SCHEMA, dispatch::SCHEMA, notifications::SCHEMA, oversight::SCHEMA];

/// As small in ten years as they are today.
const SMALL: [&str; 8] = ["log_head", "relay", "consumer", "catchup", "policy", "unit", "contact", "deputy_mayor"];

/// Partial indexes that hold what is under way, and shrink again.
const UNDER_WAY: [&str; 7] = [
    "assignment_next_due",
    "call_task_open",
    "delivery_attempt",
    "delivery_receipt",
    "inbox_parked",
    "outbox_unnumbered",
    "whistle_open",
];

#[test]
fn every_statement_finds_its_rows_by_an_index() {
    run(async {
        let (mut seen, mut slow) = (0, Vec::new());
        for service in SERVICES {
            let url = database().await.unwrap();
            schema::migrate(&url.clone().into(), service).await.unwrap();
            let mut connection = PgConnection::connect(&url).await.unwrap();
            // Empty tables are scanned, merged and sorted for want of rows: what matters is whether there is another way.
            sqlx::raw_sql("set enable_seqscan = off; set enable_mergejoin = off")
                .execute(&mut connection)
                .await
                .unwrap();
            // What a restore holds is counted for ops, once, however long that takes.
            for statement in
                statements(service.name).into_iter().filter(|statement| !statement.contains("from leaving"))
            {
                seen += 1;
                slow.extend(
                    slowly(&mut connection, &statement).await.map(|scan| format!("{}: {scan}\n", service.name)),
                );
            }
        }
        assert!(seen > 100, "only {seen} statements were found");
        assert!(slow.is_empty(), "{}", slow.join("\n"));
    });
}

#[test]
fn a_statement_without_an_index_is_found() {
    run(async {
        let url = database().await.unwrap();
        schema::migrate(&url.clone().into(), dispatch::SCHEMA).await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let mut found = Vec::new();
        let plan = plan(&mut connection, "select 1 from whistle where title = $1").await;
        scans(&plan[0]["Plan"], false, &mut |scan| found.push(scan));
        assert_eq!(found, ["Seq Scan of whistle "]);
    });
}

/// How a statement goes through what grows, whether the planner sorts or takes an index in its order: with empty tables it does not matter
/// to it, and one way without such a scan is enough.
async fn slowly(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let mut found = Vec::new();
    for sort in ["set enable_sort = on", "set enable_sort = off"] {
        sqlx::raw_sql(sort).execute(&mut *connection).await.unwrap();
        let plan = plan(connection, statement).await;
        found.clear();
        scans(&plan[0]["Plan"], false, &mut |scan| found.push(scan));
        if found.is_empty() {
            return None;
        }
    }
    Some(format!("{} in\n{statement}", found.join(", ")))
}

/// What the build checked against the database: the service's own statements, and foundation's, which every service sends.
fn statements(service: &str) -> Vec<String> {
    let services = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
    let folders = [service, "foundation"].map(|name| services.join(name).join(".sqlx"));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let read = files.map(|file| {
        let kept: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        kept["query"].as_str().unwrap().to_owned()
    });
    read.collect()
}

async fn plan(connection: &mut PgConnection, statement: &str) -> Value {
    let explain = sqlx::AssertSqlSafe(format!("explain (generic_plan, format json) {statement}"));
    let row = sqlx::raw_sql(explain).fetch_one(connection).await;
    row.unwrap_or_else(|error| panic!("{statement}: {error}")).get(0)
}

/// Tells of every scan of a whole table that grows, or of a whole index that nobody stops early.
fn scans(node: &Value, limited: bool, found: &mut impl FnMut(String)) {
    let of = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let (kind, index, relation) = (of("Node Type"), of("Index Name"), of("Relation Name"));
    let whole = match kind.as_str() {
        "Seq Scan" => true,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => {
            node["Index Cond"].is_null() && !limited && !UNDER_WAY.contains(&index.as_str())
        }
        _ => false,
    };
    if whole && !SMALL.contains(&relation.as_str()) {
        found(format!("{kind} of {relation} {index}"));
    }
    // Whoever sorts or sums up reads everything below it, however few are wanted above.
    let limited = kind == "Limit" || limited && !["Sort", "Aggregate", "WindowAgg", "Hash"].contains(&kind.as_str());
    for below in node["Plans"].as_array().into_iter().flatten() {
        scans(below, limited, found);
    }
}
