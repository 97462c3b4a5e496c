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
    state text not null check (state in
        ('queued', 'sending', 'accepted', 'delivered', 'failed', 'superseded', 'no_contact', 'drill')),
    attempts int not null default 0,
    attempt_at timestamptz not null default clock_timestamp(),
    taken_by text,
    masked_phone text,
    accepted_at timestamptz,
    delivered_at timestamptz,
    receipt_at timestamptz,
    traceparent text,
    created_at timestamptz not null default clock_timestamp()
);
comment on table message is 'A reminder by SMS; accepted by the gateway and delivered to the phone are two states';
comment on column message.id is 'The effect''s name: the same id wherever it is stored, and what the gateway is given';
comment on column message.whistle_id is 'The whistle';
comment on column message.assignment_id is 'The unit''s share';
comment on column message.ladder_id is 'The ladder that asked for it';
comment on column message.ladder_kind is 'Decides the wording';
comment on column message.rung is 'The rung that asked for it';
comment on column message.text is 'Which of the three texts';
comment on column message.target is 'Role of the person it goes to';
comment on column message.due_at is 'The rung''s due time';
comment on column message.check_after_ms is 'Later than this it is checked before it leaves';
comment on column message.state is 'sending: handed to the gateway, its answer not yet known';
comment on column message.attempts is 'How often it was taken up';
comment on column message.attempt_at is 'Not to be taken up before; while it is being sent, the end of the sender''s lease';
comment on column message.taken_by is 'Process that holds the lease';
comment on column message.masked_phone is 'Where it went, masked';
comment on column message.accepted_at is 'When the gateway took it over';
comment on column message.delivered_at is 'When it reached the phone';
comment on column message.receipt_at is 'When to ask for its receipt next; null when none is awaited';
comment on column message.traceparent is 'W3C trace context of the fact that asked for it';
comment on column message.created_at is 'When it was asked for';
create index message_attempt on message (attempt_at, id) where state in ('queued', 'sending');
create index message_receipt on message (receipt_at) where receipt_at is not null;
create index message_assignment on message (assignment_id, id);

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
    state text not null check (state in ('resolving', 'open', 'recorded', 'drill')),
    attempt_at timestamptz not null default clock_timestamp(),
    taken_by text,
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
comment on column call_task.assignment_id is 'The unit''s share';
comment on column call_task.ladder_id is 'The ladder that asked for it';
comment on column call_task.ladder_kind is 'Decides the wording';
comment on column call_task.rung is 'The rung that asked for it';
comment on column call_task.card is 'The card it goes with';
comment on column call_task.caller is 'Role of who must call';
comment on column call_task.callee is 'Role of who is called';
comment on column call_task.callee_name is 'Who held the role when the rung fired';
comment on column call_task.callee_phone is 'What to dial';
comment on column call_task.script is 'What to say';
comment on column call_task.state is 'resolving: the callee is being looked up';
comment on column call_task.attempt_at is 'Not to be taken up before';
comment on column call_task.taken_by is 'Process that holds the lease';
comment on column call_task.due_at is 'The rung''s due time';
comment on column call_task.opened_at is 'When the desk could see it';
comment on column call_task.caller_name is 'Who called';
comment on column call_task.called_at is 'When';
comment on column call_task.said is 'What was said';
comment on column call_task.list_id is 'Orders the list by time';
create index call_task_resolving on call_task (attempt_at) where state = 'resolving';
create index call_task_open on call_task (list_id) where state = 'open';

create or replace view leaving as
    select id, 'sms' as kind, assignment_id, target, due_at from message where state in ('queued', 'sending')
    union all
    select id, 'call', assignment_id, callee, due_at from call_task where state in ('resolving', 'open');

create table alarm (
    id uuid primary key,
    list_id uuid not null unique,
    reason text not null,
    assignment_id uuid not null,
    text text not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table alarm is 'What the governance centre must look into';
comment on column alarm.id is 'Named by what it is about: raised once';
comment on column alarm.list_id is 'Orders the list by time';
comment on column alarm.reason is 'Machine-readable';
comment on column alarm.assignment_id is 'The unit''s share';
comment on column alarm.text is 'For the person at the desk';
comment on column alarm.created_at is 'When it was raised';
