create table timeline (
    id uuid primary key,
    whistle_id uuid not null,
    assignment_id uuid,
    at timestamptz not null,
    text text not null
);
comment on table timeline is 'What has happened to whistles, as a person reads it';
comment on column timeline.id is 'Named by the fact: written once';
comment on column timeline.whistle_id is 'The whistle';
comment on column timeline.assignment_id is 'The unit''s share; null for what concerns them all';
comment on column timeline.at is 'When it happened';
comment on column timeline.text is 'Chinese';
create index timeline_whistle on timeline (whistle_id, at);

create table case_file (
    id uuid primary key,
    list_id uuid not null unique,
    whistle_id uuid not null,
    assignment_id uuid not null,
    ladder_id uuid not null,
    unit_id uuid not null,
    due_at timestamptz not null,
    platform_fault_after_ms bigint not null,
    state text not null check (state in ('pending', 'held', 'pushed', 'drill')),
    released boolean not null default false,
    first_sent_at timestamptz,
    offered_at timestamptz,
    attempts int not null default 0,
    attempt_at timestamptz not null default clock_timestamp(),
    taken_by text,
    receipt text,
    received_at timestamptz,
    traceparent text
);
comment on table case_file is 'A case for 阳光+: a unit that did not answer to the end of the ladder';
comment on column case_file.id is 'The effect''s name: the same id wherever it is stored, and what 阳光+ is given';
comment on column case_file.list_id is 'Orders the list by time';
comment on column case_file.whistle_id is 'The whistle';
comment on column case_file.assignment_id is 'The unit''s share';
comment on column case_file.ladder_id is 'The ladder';
comment on column case_file.unit_id is 'The unit';
comment on column case_file.due_at is 'The rung''s due time';
comment on column case_file.platform_fault_after_ms is 'First sent later than this, it waits for the centre''s release';
comment on column case_file.state is 'held: the platform itself was late, the centre decides';
comment on column case_file.released is 'The centre let it go';
comment on column case_file.first_sent_at is 'From when on 阳光+ may have it';
comment on column case_file.offered_at is 'When 阳光+ first did not take it; a delay from then on is 阳光+''s';
comment on column case_file.attempts is 'How often it was taken up';
comment on column case_file.attempt_at is 'Not to be taken up before; while it is being sent, the end of the sender''s lease';
comment on column case_file.taken_by is 'Process that holds the lease';
comment on column case_file.receipt is '阳光+''s number';
comment on column case_file.received_at is 'When the receipt came';
comment on column case_file.traceparent is 'W3C trace context of the fact that made it';
create index case_file_attempt on case_file (attempt_at) where state = 'pending';
create index case_file_assignment on case_file (assignment_id);

create table correction (
    id uuid primary key,
    case_id uuid not null references case_file,
    state text not null default 'pending' check (state in ('pending', 'pushed')),
    attempts int not null default 0,
    attempt_at timestamptz not null default clock_timestamp(),
    taken_by text,
    text text not null,
    receipt text,
    received_at timestamptz
);
comment on table correction is 'Sent after a case when the centre annulled one of its cards';
comment on column correction.id is 'Named by case and card';
comment on column correction.case_id is 'The case';
comment on column correction.state is 'pending until a receipt comes';
comment on column correction.attempts is 'How often it was taken up';
comment on column correction.attempt_at is 'Not to be taken up before';
comment on column correction.taken_by is 'Process that holds the lease';
comment on column correction.text is 'Chinese';
comment on column correction.receipt is '阳光+''s number';
comment on column correction.received_at is 'When the receipt came';
create index correction_case on correction (case_id);
create index correction_attempt on correction (attempt_at) where state = 'pending';

create or replace view leaving as
    select id, 'push' as kind, assignment_id, 'oversight_platform' as target, due_at from case_file where state = 'pending'
    union all
    select c.id, 'correction', f.assignment_id, 'oversight_platform', c.attempt_at
    from correction c join case_file f on f.id = c.case_id where c.state = 'pending';
