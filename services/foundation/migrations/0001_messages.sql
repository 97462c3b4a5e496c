-- What every service's database holds beside its own tables: the log of its events, what it has received, what it was asked, what
-- leaves the house, what was done by whom.

create table log_head (
    one boolean primary key default true check (one),
    service text,
    log_id uuid not null default gen_random_uuid(),
    position bigint not null default 0,
    earlier_log_id uuid,
    earlier_position bigint,
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
comment on table log_head is 'The one row under whose lock events are numbered';
comment on column log_head.one is 'Keeps it one row';
comment on column log_head.service is 'Whose database this is; set by the first migration job';
comment on column log_head.log_id is 'Identity of the log; changes when the database was restored or the timeline changed';
comment on column log_head.position is 'Position of the newest numbered event';
comment on column log_head.earlier_log_id is 'Identity before a failover in which nothing was lost: cursors of that log go on';
comment on column log_head.earlier_position is 'As far as they go: how far that log had come';
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

-- Numbering writes every row once more: where there is room for it on its page, the log of Postgres gets what differs, not the row. A row
-- is found by its id until it has a position, and by that from then on; an index of all ids would be written twice for each.
create table outbox (
    id bigint generated always as identity,
    event_id uuid not null,
    subject text not null,
    aggregate_id text not null,
    version bigint not null,
    payload bytea not null,
    traceparent text,
    audiences text not null,
    occurred_at timestamptz not null default clock_timestamp(),
    position bigint
) with (fillfactor = 80);
comment on table outbox is 'Events published by this service; committed with the change that they tell of, kept 30 days';
comment on column outbox.id is 'Drawn after the row of the aggregate is locked: for one aggregate, id order is version order';
comment on column outbox.event_id is 'CloudEvents id';
comment on column outbox.subject is 'CloudEvents type and NATS subject';
comment on column outbox.aggregate_id is 'What the event is about';
comment on column outbox.version is 'Its version from then on';
comment on column outbox.payload is 'The protobuf message';
comment on column outbox.traceparent is 'W3C trace context of the publishing transaction';
comment on column outbox.audiences is 'Who may learn of it: unit:, area: (matched by what it begins with), matter:, person:; U+001F between them';
comment on column outbox.occurred_at is 'When it was published';
comment on column outbox.position is 'Gap-free number in the log; null until numbered';
create unique index outbox_unnumbered on outbox (id) where position is null;
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
comment on table consumer is 'Who subscribes to this log, and how far each has confirmed; nothing unconfirmed is deleted';
comment on column consumer.name is 'Service that subscribes';
comment on column consumer.confirmed is 'Position up to which it has handled everything';
comment on column consumer.seen_at is 'When it last read';
comment on column consumer.struck_off is 'Set by ops: no longer waited for';

create table inbox (
    consumer text not null,
    event_id uuid not null,
    state text not null check (state in ('done', 'parked', 'replay')),
    subject text not null,
    aggregate_id text,
    payload bytea,
    traceparent text,
    reason text,
    received_at timestamptz not null default clock_timestamp(),
    arrival bigint generated always as identity,
    primary key (event_id, consumer)
);
comment on table inbox is 'Events received: each is applied once; kept 45 days, longer than any log keeps its events';
comment on column inbox.consumer is 'Who subscribes';
comment on column inbox.event_id is 'CloudEvents id, a UUIDv7: sorts by time';
comment on column inbox.state is 'done; parked (a dead letter); replay (ops asked to apply it again)';
comment on column inbox.subject is 'CloudEvents type';
comment on column inbox.aggregate_id is 'Later events about it park behind a parked one; kept while parked';
comment on column inbox.payload is 'Kept while parked';
comment on column inbox.traceparent is 'Kept while parked';
comment on column inbox.reason is 'Why it was parked';
comment on column inbox.received_at is 'When it was handled';
comment on column inbox.arrival is 'Order of handling: parked events are replayed in it';
create index inbox_parked on inbox (consumer, aggregate_id, arrival) where state <> 'done';

create table catchup (
    consumer text not null,
    source text not null,
    log_id text not null default '',
    after bigint not null default -1,
    primary key (consumer, source)
);
comment on table catchup is 'How far a consumer has read each log that it subscribes to';
comment on column catchup.consumer is 'Who subscribes';
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
comment on column request.response is 'The encoded answer: ids, versions, states and times, nothing personal';
comment on column request.created_at is 'When it was first asked';
create index request_created_at on request (created_at);

create function cluster() returns text language sql stable as $$
    select case when not pg_is_in_recovery() then
        system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || oid end
    from pg_control_system(), pg_database where datname = current_database()
$$;
comment on function cluster() is
    'Which server, timeline and database this is; differs after a restore and after a failover, null on a standby';

create table history (
    event_id uuid not null,
    subject_id text not null,
    version bigint not null,
    at timestamptz not null,
    actor text not null,
    role text not null,
    kind text not null,
    data jsonb not null,
    primary key (subject_id, version, event_id)
);
comment on table history is 'What was done, by whom: a row a change, data and never text; what is its own history (a rung that fired, a delivery) is not here';
comment on column history.event_id is 'Of the event that tells of it, by whose position it is ordered';
comment on column history.subject_id is 'What was changed';
comment on column history.version is 'Its version from then on; 0 for what ops does';
comment on column history.at is 'When';
comment on column history.actor is 'Opaque subject of the person or service';
comment on column history.role is 'The role that they acted in';
comment on column history.kind is 'What was done, machine-readable';
comment on column history.data is 'What belongs to it';

-- Written three or four times, as the outbox.
create table delivery (
    id uuid primary key,
    way text not null,
    subject_id uuid not null,
    target text not null,
    due_at timestamptz not null,
    after uuid,
    state text not null check (state in
        ('queued', 'held', 'leased', 'accepted', 'delivered', 'failed', 'unknown', 'superseded', 'no_contact', 'drill')),
    attempts int not null default 0,
    attempt_at timestamptz not null default clock_timestamp(),
    taken_by text,
    left_at timestamptz,
    offered_at timestamptz,
    accepted_at timestamptz,
    delivered_at timestamptz,
    receipt_at timestamptz,
    answer text,
    released boolean not null default false,
    traceparent text
) with (fillfactor = 70);
comment on table delivery is 'What leaves the house, each once: its state stands here and nowhere else';
comment on column delivery.id is 'The effect''s name: the same id wherever it is stored, and what the outside is given';
comment on column delivery.way is 'How it leaves: sms, call, push, correction';
comment on column delivery.subject_id is 'The assignment that it is about';
comment on column delivery.target is 'Role of whom it is for';
comment on column delivery.due_at is 'When it was due';
comment on column delivery.after is 'Another delivery that must have been accepted first';
comment on column delivery.state is 'leased: taken up, the outside may have it; held: waits for the centre''s release';
comment on column delivery.attempts is 'How often it was taken up';
comment on column delivery.attempt_at is 'Not to be taken up before; while it is leased, the end of the lease';
comment on column delivery.taken_by is 'Process that holds the lease';
comment on column delivery.left_at is 'From when on the outside may have it';
comment on column delivery.offered_at is 'When the outside first did not take it; a delay from then on is the outside''s';
comment on column delivery.accepted_at is 'When the outside took it over';
comment on column delivery.delivered_at is 'When it reached whom it is for';
comment on column delivery.receipt_at is 'When to ask for its receipt next; null when none is awaited';
comment on column delivery.answer is 'What the outside answered: a receipt''s number, or where it went, masked';
comment on column delivery.released is 'The centre let it go';
comment on column delivery.traceparent is 'W3C trace context of the event that asked for it';
create index delivery_attempt on delivery (way, attempt_at, id) where state in ('queued', 'leased');
create index delivery_receipt on delivery (receipt_at) where receipt_at is not null;

create view leaving as
    select id, way as kind, subject_id as assignment_id, target, due_at from delivery where state in ('queued', 'leased');
comment on view leaving is 'What would leave the house now; a service whose effects leave elsewhere replaces it';
comment on column leaving.id is 'The effect''s name';
comment on column leaving.kind is 'sms, call, push, correction';
comment on column leaving.assignment_id is 'The assignment';
comment on column leaving.target is 'Role of whom it is for';
comment on column leaving.due_at is 'When it was due';

-- Only a scan of the index in its order clears away what is dead in it, and it is all but dead entries: a sequential or bitmap scan would
-- cost more with every event until the table is vacuumed.
create function assign_positions(out head bigint, out assigned bigint) language plpgsql
    set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    assigned := 0;
    if not exists (select from outbox where outbox.position is null) then
        select log_head.position into head from log_head;
        return;
    end if;
    -- Who only reads the log tries this one, and does not number while somebody does; the row's own lock cannot be tried without a write.
    perform pg_advisory_xact_lock('log_head'::regclass::oid::int, 0);
    select log_head.position into head from log_head for update;
    with unnumbered as (select ctid, id from outbox where outbox.position is null order by id limit 500),
         batch as (select ctid, row_number() over (order by id) as number from unnumbered)
    update outbox set position = head + batch.number from batch where outbox.ctid = batch.ctid;
    get diagnostics assigned = row_count;
    head := head + assigned;
    update log_head set position = head;
end
$$;
comment on function assign_positions() is
    'Numbers committed events, gap-free; returns how far the log reaches now, and how many were numbered. Any replica may call it at any time';

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
    select * into log from assign_positions();
    -- Again: numbering may have waited for others, who have published meanwhile.
    select relay.cursor, relay.ahead into since, done from relay;
    return query select log.head, own.* from (values (1)) as one left join lateral (
        select o.position, o.event_id, o.subject, o.aggregate_id, o.payload, o.traceparent, o.occurred_at from outbox o
        where o.position > since and o.position <= log.head and not o.position <@ done
            and (o.position > log.head - log.assigned
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
