-- What every service's database holds beside its own tables: the log of its facts, what it has heard, what it was asked.

create table log_head (
    one boolean primary key default true check (one),
    log_id uuid not null default gen_random_uuid(),
    position bigint not null default 0,
    cluster text not null,
    cluster_at timestamptz not null default '-infinity',
    held_at timestamptz,
    whole_until text,
    whole_position bigint,
    lost boolean not null default false,
    doubtful_before timestamptz,
    clock_doubted_at timestamptz,
    clock_right_until timestamptz,
    clock_releases bigint not null default 0
);
comment on table log_head is 'The one row under whose lock facts are numbered';
comment on column log_head.one is 'Keeps it one row';
comment on column log_head.log_id is 'Identity of the log; changes when the database was restored or the timeline changed';
comment on column log_head.position is 'Position of the newest placed fact';
comment on column log_head.cluster is 'The server and database that log_id belongs to, as cluster() names them';
comment on column log_head.cluster_at is 'When that was last found to be another: a restore, or a standby that was promoted';
comment on column log_head.held_at is 'Since when nothing leaves the house, after a restore; null when it may';
comment on column log_head.whole_until is 'The cluster that the log was last kept on before the server changed; processes that ran then testify';
comment on column log_head.whole_position is 'How far the log had come when the change was found: whoever had seen more misses something';
comment on column log_head.lost is 'A process that ran before the change misses something';
comment on column log_head.doubtful_before is 'What was due before may have left already without our knowing, and is asked for outside first';
comment on column log_head.clock_doubted_at is 'Since when Postgres''s clock is not believed, by that clock: it had jumped; null when it is';
comment on column log_head.clock_right_until is 'What it showed last before it jumped';
comment on column log_head.clock_releases is 'Grows whenever such a doubt is taken away: everybody then begins to watch anew';

create table outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null,
    subject text not null,
    aggregate_id text not null,
    payload bytea not null,
    traceparent text,
    occurred_at timestamptz not null default clock_timestamp(),
    position bigint
);
comment on table outbox is 'Facts stated by this service; committed with the change they tell of, kept 30 days';
comment on column outbox.id is 'Drawn after the row of the aggregate is locked: for one aggregate, id order is version order';
comment on column outbox.event_id is 'CloudEvents id';
comment on column outbox.subject is 'CloudEvents type and NATS subject';
comment on column outbox.aggregate_id is 'What the fact is about';
comment on column outbox.payload is 'The protobuf message';
comment on column outbox.traceparent is 'W3C trace context of the stating transaction';
comment on column outbox.occurred_at is 'When it was stated';
comment on column outbox.position is 'Gap-free number in the log; null until placed';
create index outbox_unplaced on outbox (id) where position is null;
create unique index outbox_position on outbox (position) where position is not null;

create table relay (
    one boolean primary key default true check (one),
    cursor bigint not null default 0,
    ahead int8multirange not null default '{}'
);
comment on table relay is 'How far the relay has published to NATS';
comment on column relay.one is 'Keeps it one row';
comment on column relay.cursor is 'Position up to which NATS has acknowledged everything';
comment on column relay.ahead is 'Acknowledged past the cursor: whoever numbered what lies between is still publishing it, or has died';

create table consumer (
    name text primary key,
    confirmed bigint not null,
    seen_at timestamptz not null default clock_timestamp(),
    struck_off boolean not null default false
);
comment on table consumer is 'Who hears this log, and how far each has confirmed; nothing unconfirmed is deleted';
comment on column consumer.name is 'Service that hears';
comment on column consumer.confirmed is 'Position up to which it has handled everything';
comment on column consumer.seen_at is 'When it last read';
comment on column consumer.struck_off is 'Set by ops: no longer waited for';

create table inbox (
    consumer text not null,
    event_id uuid not null,
    state text not null check (state in ('done', 'parked', 'replay')),
    subject text not null,
    aggregate_id text not null,
    payload bytea,
    traceparent text,
    reason text,
    received_at timestamptz not null default clock_timestamp(),
    arrival bigint generated always as identity,
    primary key (consumer, event_id)
);
comment on table inbox is 'Facts heard: each is applied once; kept 45 days, longer than any log keeps its facts';
comment on column inbox.consumer is 'Who hears';
comment on column inbox.event_id is 'CloudEvents id';
comment on column inbox.state is 'done; parked (a dead letter); replay (ops asked to apply it again)';
comment on column inbox.subject is 'CloudEvents type';
comment on column inbox.aggregate_id is 'Later facts about it park behind a parked one';
comment on column inbox.payload is 'Kept while parked';
comment on column inbox.traceparent is 'Kept while parked';
comment on column inbox.reason is 'Why it was parked';
comment on column inbox.received_at is 'When it was handled';
comment on column inbox.arrival is 'Order of handling: parked facts are replayed in it';
create index inbox_parked on inbox (consumer, aggregate_id, arrival) where state <> 'done';
create index inbox_received_at on inbox (received_at);

create table catchup (
    consumer text not null,
    source text not null,
    log_id text not null default '',
    after bigint not null default -1,
    primary key (consumer, source)
);
comment on table catchup is 'How far a consumer has read each log that it hears';
comment on column catchup.consumer is 'Who hears';
comment on column catchup.source is 'Whose log';
comment on column catchup.log_id is 'The log that the position belongs to';
comment on column catchup.after is 'Everything up to here is in the inbox; -1 before the first read';

create table request (
    caller text not null,
    request_id uuid not null,
    method text not null,
    body_hash bytea not null,
    response bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (caller, request_id)
);
comment on table request is 'Answers given to mutating calls, so that a repeated call gets the same one; kept 7 days';
comment on column request.caller is 'Subject of the token';
comment on column request.request_id is 'The caller''s own id of the call';
comment on column request.method is 'Full name of the rpc';
comment on column request.body_hash is 'SHA-256 of the request; another body under the same id is refused';
comment on column request.response is 'The encoded answer';
comment on column request.created_at is 'When it was first asked';
create index request_created_at on request (created_at);

create function cluster() returns text language sql stable as $$
    select case when not pg_is_in_recovery() then
        system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || oid end
    from pg_control_system(), pg_database where datname = current_database()
$$;
comment on function cluster() is
    'Which server, timeline and database this is; differs after a restore and after a failover, null on a standby';

create view leaving as
    select null::uuid as id, null::text as kind, null::uuid as assignment_id, null::text as target, null::timestamptz as due_at
    where false;
comment on view leaving is 'What would leave the house now; a service with a way out replaces it';
comment on column leaving.id is 'The effect''s name';
comment on column leaving.kind is 'sms, call, push, correction';
comment on column leaving.assignment_id is 'The unit''s share';
comment on column leaving.target is 'Role of whom it is for';
comment on column leaving.due_at is 'When it was due';

-- Only a scan of the index in its order clears away what is dead in it, and it is all but dead entries: a sequential or bitmap scan would
-- cost more with every fact until the table is vacuumed.
create function place(out head bigint, out placed bigint) language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    placed := 0;
    if not exists (select from outbox where outbox.position is null) then
        select log_head.position into head from log_head;
        return;
    end if;
    select log_head.position into head from log_head for update;
    with unplaced as (select id from outbox where outbox.position is null order by id limit 500),
         batch as (select id, row_number() over (order by id) as number from unplaced)
    update outbox set position = head + batch.number from batch where outbox.id = batch.id;
    get diagnostics placed = row_count;
    head := head + placed;
    update log_head set position = head;
end
$$;
comment on function place() is
    'Numbers committed facts, gap-free; returns how far the log reaches now, and how many were numbered. Any replica may call it at any time';

create function to_publish(published bigint[], most bigint)
    returns table (head bigint, "position" bigint, event_id uuid, subject text, aggregate_id text, payload bytea,
                   traceparent text, occurred_at timestamptz) language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    log record;
    since bigint;
    done int8multirange;
begin
    if cardinality(published) > 0 then
        update relay set (cursor, ahead) = (
            select upper(whole) - 1, acknowledged.positions - int8multirange(whole)
            from (select range_agg(int8range(one, one, '[]')) + relay.ahead
                         + int8multirange(int8range(0, relay.cursor, '[]')) as positions
                  from unnest(published) one) as acknowledged, unnest(acknowledged.positions) as whole
            where whole @> 0::bigint);
    end if;
    select * into log from place();
    -- Again: numbering may have waited for others, who have published meanwhile.
    select relay.cursor, relay.ahead into since, done from relay;
    return query select log.head, own.* from (values (1)) as one left join lateral (
        select o.position, o.event_id, o.subject, o.aggregate_id, o.payload, o.traceparent, o.occurred_at from outbox o
        where o.position > since and o.position <= log.head and not o.position <@ done
            and (o.position > log.head - log.placed
                 or o.occurred_at not between clock_timestamp() - interval '500 ms' and clock_timestamp())
        order by o.position limit most) own on true;
end
$$;
comment on function to_publish(bigint[], bigint) is
    'One pass of a relay, which has published these positions: numbers what was committed, and returns it for the caller to publish;
with what somebody numbered a while ago and nobody has published. One row at least: how far the log reaches';

create function all_connected() returns boolean language sql as $$
    select pg_postmaster_start_time() < clock_timestamp() - interval '1500 ms'
        and (select cluster_at < clock_timestamp() - interval '8 s' from log_head)
        and (select backend_start < clock_timestamp() - interval '700 ms' from pg_stat_activity where pid = pg_backend_pid())
$$;
comment on function all_connected() is
    'Whether every process that lives has had the time to connect since the server was started or promoted, or since all sessions were
ended, this one among them: whoever has no session now is then dead';

insert into log_head (cluster) values (cluster());
insert into relay default values;
