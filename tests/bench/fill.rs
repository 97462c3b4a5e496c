//! A district's past, made in the database itself: whistles with all that belongs to them, ids in the order of time as in life.
//! The same numbers make the same rows.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use local::servers::execute;
use local::stack::Stack;
use sqlx::PgConnection;
use uuid::Uuid;

/// Numbers of whistles whose rungs are made due; far above those that are only stored.
pub const DUE: i64 = 10_000_000_000;
/// An area of theirs.
const DUE_AREA: &str = "150302999";

/// Ids by kind (1 whistle, 2 assignment, 3 ladder, 4 effect, 5 request, 6 grievance) and number. Version 7, so that numbers are
/// times. And many of them at once, and ids that nobody has yet, for pgbench.
const ID: &str = "create or replace function bench_id(kind int, n bigint) returns uuid language sql immutable as $$
    select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8000' || lpad(to_hex(n), 12, '0'))::uuid
$$;
create or replace function bench_ids(kind int, numbers bigint[], further bigint) returns uuid[] language sql immutable as $$
    select array_agg(bench_id(kind, number + further) order by place) from unnest(numbers) with ordinality one (number, place)
$$;
create or replace function bench_new(numbers bigint[], further bigint) returns uuid[] language sql immutable as $$
    select array_agg(lpad(to_hex(number + further), 32, '0')::uuid order by place)
    from unnest(numbers) with ordinality one (number, place)
$$";

/// The dispatch service's database, as superuser: foreign keys of what is generated hold by construction and are not checked.
pub async fn open(stack: &Stack) -> anyhow::Result<PgConnection> {
    let mut connection = superuser(stack, "dispatch").await?;
    run(&mut connection, "set session_replication_role = replica").await?;
    run(&mut connection, ID).await?;
    Ok(connection)
}

async fn superuser(stack: &Stack, service: &str) -> anyhow::Result<PgConnection> {
    let name = stack.databases[service].rsplit('/').next().context("a URL without a database")?;
    stack.servers.superuser(name).await
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> anyhow::Result<()> {
    sqlx::raw_sql(statement).execute(connection).await.with_context(|| statement.to_owned())?;
    Ok(())
}

/// Stores whistles with the numbers from `from` to below `to`, 1.5 units each, with every rung but the first pending, due in a month.
pub async fn store(connection: &mut PgConnection, units: &[Uuid], from: i64, to: i64) -> anyhow::Result<()> {
    // In pieces, for the log's sake, and to show progress.
    let mut at = from;
    while at < to {
        let end = (at + 100_000).min(to);
        for statement in STORED {
            sqlx::query(statement).bind(at).bind(end).bind(units).execute(&mut *connection).await.context(statement)?;
        }
        at = end;
        if at < to || to - from >= 100_000 {
            local::progress(&format!("{at} whistles are stored"));
        }
    }
    settle(connection).await
}

/// As autovacuum leaves it, so that no measurement begins in the middle of that.
pub async fn settle(connection: &mut PgConnection) -> anyhow::Result<()> {
    run(connection, "vacuum analyze").await?;
    run(connection, "checkpoint").await
}

/// The same for every service's database.
pub async fn settle_all(stack: &Stack) -> anyhow::Result<()> {
    for service in stack.databases.keys() {
        settle(&mut superuser(stack, service).await?).await?;
    }
    Ok(())
}

/// Takes away what measuring has added, so that the next measurement finds what is said to be stored. Of ids, only `store` makes those in
/// between.
pub async fn clean(connection: &mut PgConnection) -> anyhow::Result<()> {
    let added = [
        ("firing", "ladder_id", 3),
        ("rung", "ladder_id", 3),
        ("ladder", "id", 3),
        ("assignment", "id", 2),
        ("whistle", "id", 1),
        ("request", "request_id", 5),
    ];
    for (table, id, kind) in added {
        let statement =
            format!("delete from {table} where {id} < bench_id({kind}, 0) or {id} >= bench_id({kind}, {DUE})");
        execute(connection, statement).await?;
    }
    Ok(())
}

/// What the other services keep of the same whistles: the case, the reminders, the timeline.
pub async fn store_elsewhere(stack: &Stack, from: i64, to: i64) -> anyhow::Result<()> {
    for (service, statements) in ELSEWHERE {
        let mut connection = superuser(stack, service).await?;
        run(&mut connection, "set session_replication_role = replica").await?;
        run(&mut connection, ID).await?;
        for statement in statements {
            sqlx::query(*statement).bind(from).bind(to).execute(&mut connection).await.context(*statement)?;
        }
        settle(&mut connection).await?;
    }
    Ok(())
}

const ELSEWHERE: [(&str, &[&str]); 3] = [
    (
        "grievances",
        &[
            "insert into grievance (id, channel, text, place, area, photo_ids, owner, submitter, state, whistle_id, whistle_blown_at,
                                    version, created_at, updated_at)
             select bench_id(6, n), 'GRID_PATROL', '示例事项' || n, '示例小区', '150302' || (100 + n % 40), '{}', 'grid-' || n % 400,
                    'grid-' || n % 400, 'whistled', bench_id(1, n), clock_timestamp(), 3, clock_timestamp(), clock_timestamp()
             from generate_series($1::bigint, $2::bigint - 1) n",
            "insert into history (event_id, subject_id, version, at, actor, role, kind, data)
             select gen_random_uuid(), bench_id(6, n), version, clock_timestamp(), 'street-' || n % 40, 'street', kind,
                    jsonb_build_object('state', state)
             from generate_series($1::bigint, $2::bigint - 1) n,
                  (values (1, 'raised', 'raised'), (2, 'reviewed', 'reviewed'), (3, 'progressed', 'whistled')) step (version, kind, state)",
        ],
    ),
    (
        "notifications",
        &[
            "insert into message (id, whistle_id, assignment_id, ladder_id, ladder_kind, rung, text, target, due_at, check_after_ms)
             select bench_id(4, 2 * n + k), bench_id(1, n), bench_id(2, 2 * n + k), bench_id(3, 2 * n + k), 'answer', 1, 1, 'duty',
                    clock_timestamp(), 60000
             from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k",
            "insert into delivery (id, way, subject_id, target, due_at, state, attempts, left_at, accepted_at, delivered_at, answer)
             select bench_id(4, 2 * n + k), 'sms', bench_id(2, 2 * n + k), 'duty', clock_timestamp(), 'delivered', 1,
                    clock_timestamp(), clock_timestamp(), clock_timestamp(), '138****0000'
             from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k",
        ],
    ),
    (
        "oversight",
        &["insert into timeline (id, whistle_id, assignment_id, at, happening)
           select bench_id(7 + what, 2 * n + k), bench_id(1, n), bench_id(2, 2 * n + k), clock_timestamp(),
                  jsonb_build_object('kind', 'reminded', 'rung', 1)
           from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k, generate_series(0, 2) what"],
    ),
];

const STORED: [&str; 6] = [
    "insert into whistle (id, grievance_id, area, matter, title, place, difficulty, state, blown_at, policy_version, handle_due_at, version)
     select bench_id(1, n), bench_id(6, n), '150302' || (100 + n % 40), 'FAULTS', '示例事项' || n, '示例小区', 'complex', 'open',
            clock_timestamp(), 1, clock_timestamp() + interval '60 days', 1
     from generate_series($1::bigint, $2::bigint - 1) n where cardinality($3::uuid[]) > 0",
    // One unit for every even number, two for every odd one.
    "insert into assignment (id, whistle_id, unit_id, role, state, next_due_at)
     select bench_id(2, 2 * n + k), bench_id(1, n), ($3::uuid[])[1 + (2 * n + k) % cardinality($3::uuid[])],
            case k when 0 then 'lead' else 'supporting' end, 'whistled', clock_timestamp() + interval '30 days' + n * interval '1 ms'
     from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k",
    "insert into ladder (id, assignment_id, ordinal, kind, generation, started_at)
     select bench_id(3, 2 * n + k), bench_id(2, 2 * n + k), 1, 'answer', 1, clock_timestamp()
     from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k where cardinality($3::uuid[]) > 0",
    "insert into rung (ladder_id, number, due_at, fired_at, card)
     select bench_id(3, 2 * n + k), number, clock_timestamp() + after, case number when 1 then clock_timestamp() end,
            case number when 2 then 'yellow' when 3 then 'red' end
     from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k,
          (values (1, interval '0'), (2, interval '30 days'), (3, interval '31 days'), (4, interval '32 days')) rung (number, after)
     where cardinality($3::uuid[]) > 0",
    "insert into firing (ladder_id, rung, effects)
     select bench_id(3, 2 * n + k), 1, jsonb_build_array(jsonb_build_object('id', bench_id(4, 2 * n + k), 'kind', 'sms', 'target', 'duty'))
     from generate_series($1::bigint, $2::bigint - 1) n, generate_series(0, n % 2) k where cardinality($3::uuid[]) > 0",
    "insert into request (caller, request_id, method, body_hash, response)
     select 'street-' || n % 40, bench_id(5, n), '/haiqu.dispatch.v1.WhistleService/BlowWhistle', sha256(n::text::bytea), decode(repeat('00', 260), 'hex')
     from generate_series($1::bigint, $2::bigint - 1) n where cardinality($3::uuid[]) > 0",
];

/// Makes the second rungs of `count` new assignments due from `start` on, so many a second, or all at once for a rate of 0. Returns
/// the number of the first.
pub async fn due(
    connection: &mut PgConnection,
    units: &[Uuid],
    (first, count): (i64, i64),
    start: DateTime<Utc>,
    rate: f64,
) -> anyhow::Result<()> {
    let gap = if rate > 0.0 { 1.0 / rate } else { 0.0 };
    for statement in PENDING {
        let made =
            sqlx::query(statement).bind(first).bind(first + count).bind(units).bind(start).bind(gap).bind(DUE_AREA);
        made.execute(&mut *connection).await.context(statement)?;
    }
    Ok(())
}

const PENDING: [&str; 4] = [
    "insert into whistle (id, grievance_id, area, matter, title, place, difficulty, state, blown_at, policy_version, handle_due_at, version)
     select bench_id(1, n), bench_id(6, n), $6, 'FAULTS', '示例事项' || n, '示例小区', 'complex', 'open',
            $4::timestamptz + (n - $1) * $5::float8 * interval '1 s' - interval '1 hour', 1,
            clock_timestamp() + interval '60 days', 1
     from generate_series($1::bigint, $2::bigint - 1) n where cardinality($3::uuid[]) > 0",
    "insert into ladder (id, assignment_id, ordinal, kind, generation, started_at)
     select bench_id(3, n), bench_id(2, n), 1, 'answer', 1, $4::timestamptz + (n - $1) * $5::float8 * interval '1 s' - interval '1 hour'
     from generate_series($1::bigint, $2::bigint - 1) n where cardinality($3::uuid[]) > 0 and $6 <> ''",
    "insert into rung (ladder_id, number, due_at, fired_at, card)
     select bench_id(3, n), number, $4::timestamptz + (n - $1) * $5::float8 * interval '1 s' + after,
            case number when 1 then clock_timestamp() end, case number when 2 then 'yellow' when 3 then 'red' end
     from generate_series($1::bigint, $2::bigint - 1) n,
          (values (1, - interval '1 hour'), (2, interval '0'), (3, interval '1 day'), (4, interval '2 days')) rung (number, after)
     where cardinality($3::uuid[]) > 0 and $6 <> ''",
    // Last: it is what the ladder loop looks at.
    "insert into assignment (id, whistle_id, unit_id, role, state, next_due_at)
     select bench_id(2, n), bench_id(1, n), ($3::uuid[])[1 + n % cardinality($3::uuid[])], 'lead', 'whistled',
            $4::timestamptz + (n - $1) * $5::float8 * interval '1 s'
     from generate_series($1::bigint, $2::bigint - 1) n where $6 <> ''",
];

/// By how many milliseconds after it was due each of these rungs was committed as fired.
pub async fn lateness(connection: &mut PgConnection, (first, count): (i64, i64)) -> anyhow::Result<Vec<f64>> {
    let late = sqlx::query_scalar(
        "select (extract(epoch from pg_xact_commit_timestamp(xmin) - due_at) * 1000)::float8 from rung
         where number = 2 and fired_at is not null and ladder_id >= bench_id(3, $1) and ladder_id < bench_id(3, $2)",
    );
    Ok(late.bind(first).bind(first + count).fetch_all(connection).await?)
}
