create table timeline (
    id uuid primary key,
    whistle_id uuid not null,
    assignment_id uuid,
    at timestamptz not null,
    happening jsonb not null
);
comment on table timeline is 'What has happened to whistles, as data: it is worded when somebody reads it';
comment on column timeline.id is 'Named by what happened: written once';
comment on column timeline.whistle_id is 'The whistle';
comment on column timeline.assignment_id is 'The assignment; null for what concerns them all';
comment on column timeline.at is 'When it happened';
comment on column timeline.happening is 'Its kind, and what belongs to it';
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
    version bigint not null default 1
);
comment on table case_file is 'A case for 阳光+: a unit that did not answer to the end of the ladder. Its state is that of the delivery of the same id';
comment on column case_file.id is 'The effect''s name: the same id wherever it is stored, and what 阳光+ is given';
comment on column case_file.list_id is 'Orders the list by time';
comment on column case_file.whistle_id is 'The whistle';
comment on column case_file.assignment_id is 'The assignment';
comment on column case_file.ladder_id is 'The ladder';
comment on column case_file.unit_id is 'The unit';
comment on column case_file.due_at is 'The rung''s due time';
comment on column case_file.platform_fault_after_ms is 'First sent later than this, it waits for the centre''s release';
comment on column case_file.version is 'Grows with every change';
create index case_file_assignment on case_file (assignment_id);

create table correction (
    id uuid primary key,
    case_id uuid not null references case_file,
    card text not null check (card in ('yellow', 'red'))
);
comment on table correction is 'Sent after a case when the centre annulled one of its cards. Its state is that of the delivery of the same id';
comment on column correction.id is 'Named by case and card';
comment on column correction.case_id is 'The case';
comment on column correction.card is 'The annulled card';
create index correction_case on correction (case_id);
