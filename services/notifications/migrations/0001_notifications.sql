create table message (
    id uuid primary key,
    whistle_id uuid not null,
    assignment_id uuid not null,
    ladder_id uuid not null,
    ladder_kind text not null check (ladder_kind in ('answer', 'handling')),
    rung int not null,
    text int not null,
    target text not null,
    due_at timestamptz not null,
    check_after_ms bigint not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table message is 'A reminder by SMS, never changed: its state is that of the delivery of the same id';
comment on column message.id is 'The effect''s name: the same id wherever it is stored, and what the gateway is given';
comment on column message.whistle_id is 'The whistle';
comment on column message.assignment_id is 'The assignment';
comment on column message.ladder_id is 'The ladder that asked for it';
comment on column message.ladder_kind is 'Decides the wording';
comment on column message.rung is 'The rung that asked for it';
comment on column message.text is 'Which of the three texts';
comment on column message.target is 'Role of the person it goes to';
comment on column message.due_at is 'The rung''s due time';
comment on column message.check_after_ms is 'Later than this it is checked before it leaves';
comment on column message.created_at is 'When it was asked for';
create index message_assignment on message (assignment_id, due_at, target, id);

create table call_task (
    id uuid primary key,
    whistle_id uuid not null,
    assignment_id uuid not null,
    ladder_id uuid not null,
    ladder_kind text not null check (ladder_kind in ('answer', 'handling')),
    rung int not null,
    card text check (card in ('yellow', 'red')),
    caller text not null,
    callee text not null,
    callee_name text,
    callee_phone text,
    script text,
    state text not null check (state in ('asked', 'open', 'recorded', 'drill')),
    version bigint not null default 0,
    due_at timestamptz not null,
    opened_at timestamptz,
    caller_name text,
    called_at timestamptz,
    said text,
    list_id uuid not null unique
);
comment on table call_task is 'A phone call that a named person must make, and its record';
comment on column call_task.id is 'The effect''s name';
comment on column call_task.whistle_id is 'The whistle';
comment on column call_task.assignment_id is 'The assignment';
comment on column call_task.ladder_id is 'The ladder that asked for it';
comment on column call_task.ladder_kind is 'Decides the wording';
comment on column call_task.rung is 'The rung that asked for it';
comment on column call_task.card is 'The card it goes with';
comment on column call_task.caller is 'Role of who must call';
comment on column call_task.callee is 'Role of who is called';
comment on column call_task.callee_name is 'Who held the role when the rung fired';
comment on column call_task.callee_phone is 'What to dial';
comment on column call_task.script is 'What to say';
comment on column call_task.state is 'asked: the callee is being looked up, the desk does not see it yet';
comment on column call_task.version is 'Grows with every change that the desk sees';
comment on column call_task.due_at is 'The rung''s due time';
comment on column call_task.opened_at is 'When the desk could see it';
comment on column call_task.caller_name is 'Who called';
comment on column call_task.called_at is 'When';
comment on column call_task.said is 'What was said';
comment on column call_task.list_id is 'Orders the list by time';
create index call_task_open on call_task (list_id) where state = 'open';

create or replace view leaving as
    select id, way as kind, subject_id as assignment_id, target, due_at from delivery where state in ('queued', 'leased')
    union all
    select id, 'call', assignment_id, callee, due_at from call_task where state = 'open';

create table alarm (
    id uuid primary key,
    list_id uuid not null unique,
    reason text not null check (reason in ('no_contact', 'not_delivered', 'no_receipt')),
    assignment_id uuid not null,
    text text not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table alarm is 'What the governance centre must look into';
comment on column alarm.id is 'Named by what it is about: raised once';
comment on column alarm.list_id is 'Orders the list by time';
comment on column alarm.reason is 'Machine-readable';
comment on column alarm.assignment_id is 'The assignment';
comment on column alarm.text is 'For the person at the desk';
comment on column alarm.created_at is 'When it was raised';
