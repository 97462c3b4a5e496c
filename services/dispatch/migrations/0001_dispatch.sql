create table unit (
    id uuid primary key,
    name text not null,
    version bigint not null,
    updated_at timestamptz not null default clock_timestamp()
);
comment on table unit is 'Departments, utilities and others that can be whistled';
comment on column unit.id is 'Chosen by whoever enters it';
comment on column unit.name is 'Shown to people';
comment on column unit.version is 'Grows with every change; the etag of what is read';
comment on column unit.updated_at is 'Last change';

create table contact (
    unit_id uuid not null references unit,
    role text not null check (role in ('duty', 'head', 'deputy')),
    name text not null,
    phone text not null,
    primary key (unit_id, role)
);
comment on table contact is 'Whom to reach in a unit';
comment on column contact.unit_id is 'The unit';
comment on column contact.role is 'duty contact, head, deputy contact';
comment on column contact.name is 'Who holds the role';
comment on column contact.phone is 'Dialled and texted; masked in answers';

create table deputy_mayor (
    matter text primary key,
    name text not null,
    phone text not null,
    version bigint not null
);
comment on table deputy_mayor is 'The deputy district mayor in charge of a matter';
comment on column deputy_mayor.matter is 'Code of the matter';
comment on column deputy_mayor.name is 'Who';
comment on column deputy_mayor.phone is 'Dialled and texted; masked in answers';
comment on column deputy_mayor.version is 'Grows with every change; the etag of what is read';

create table policy (
    version bigint generated always as identity primary key,
    drill boolean not null,
    reminder_check_after_ms bigint not null,
    platform_fault_after_ms bigint not null,
    answer jsonb not null,
    handling jsonb not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table policy is 'Ladders as versioned data; a version never changes';
comment on column policy.version is 'Newer is larger';
comment on column policy.drill is 'Walks the ladder without ever leaving the house';
comment on column policy.reminder_check_after_ms is 'A reminder later than this is checked before it leaves';
comment on column policy.platform_fault_after_ms is 'Later than this is the platform''s fault';
comment on column policy.answer is 'Steps of the answer ladder, counted from T0';
comment on column policy.handling is 'Steps of the handling ladder, counted from the handling deadline';
comment on column policy.created_at is 'When it was added';

create table whistle (
    id uuid primary key,
    grievance_id uuid not null,
    area text not null,
    matter text not null,
    title text not null,
    place text not null,
    difficulty text not null check (difficulty in ('complex', 'long', 'hard')),
    state text not null check (state in ('open', 'closed', 'withdrawn')),
    blown_at timestamptz not null,
    policy_version bigint not null references policy,
    handle_due_at timestamptz not null,
    withdraw_reason text,
    version bigint not null
);
comment on table whistle is 'A subdistrict''s call on one or more units over a grievance';
comment on column whistle.id is 'Sorts by time';
comment on column whistle.grievance_id is 'Of the grievances service';
comment on column whistle.area is 'Area code of the street that blew it, or below';
comment on column whistle.matter is 'Decides the deputy district mayor in charge';
comment on column whistle.title is 'What the units are told';
comment on column whistle.place is 'Where';
comment on column whistle.difficulty is 'Sets the route';
comment on column whistle.state is 'open until every assignment is closed, or withdrawn';
comment on column whistle.blown_at is 'T0';
comment on column whistle.policy_version is 'The ladders'' policy, pinned';
comment on column whistle.handle_due_at is 'By when it shall be handled';
comment on column whistle.withdraw_reason is 'Set when withdrawn';
comment on column whistle.version is 'Grows with every change';
create index whistle_area on whistle (area text_pattern_ops, id desc);
create index whistle_matter on whistle (matter, id desc);
create unique index whistle_open on whistle (grievance_id, area) where state = 'open';

create table assignment (
    id uuid primary key,
    whistle_id uuid not null references whistle,
    unit_id uuid not null references unit,
    role text not null check (role in ('lead', 'supporting')),
    state text not null check (state in ('whistled', 'answered', 'submitted', 'closed', 'withdrawn')),
    closed_at timestamptz,
    next_due_at timestamptz,
    unique (whistle_id, unit_id)
);
comment on table assignment is 'A unit''s part of a whistle';
comment on column assignment.id is 'Sorts by time';
comment on column assignment.whistle_id is 'The whistle';
comment on column assignment.unit_id is 'The unit';
comment on column assignment.role is 'lead or supporting';
comment on column assignment.state is 'Where the unit is in the loop';
comment on column assignment.closed_at is 'When the street confirmed it';
comment on column assignment.next_due_at is 'Due time of the next rung of its running ladder; what the ladder loop looks for';
create index assignment_next_due on assignment (next_due_at, id) where next_due_at is not null;
create index assignment_unit on assignment (unit_id, id desc);

create table answer (
    assignment_id uuid not null references assignment,
    version bigint not null,
    responsible_person text not null,
    answered_at timestamptz not null,
    primary key (assignment_id, version)
);
comment on table answer is 'How units answered; the newest row of an assignment counts';
comment on column answer.assignment_id is 'The assignment';
comment on column answer.version is 'Of the whistle from then on';
comment on column answer.responsible_person is 'Who is responsible on the unit''s side';
comment on column answer.answered_at is 'When';

create table submission (
    assignment_id uuid not null references assignment,
    version bigint not null,
    result text not null,
    evidence jsonb not null,
    submitted_at timestamptz not null,
    primary key (assignment_id, version)
);
comment on table submission is 'What units handed in; the newest row of an assignment counts';
comment on column submission.assignment_id is 'The assignment';
comment on column submission.version is 'Of the whistle from then on';
comment on column submission.result is 'What was done';
comment on column submission.evidence is 'Photos with place and time';
comment on column submission.submitted_at is 'When';

create table grade (
    assignment_id uuid not null references assignment,
    version bigint not null,
    outcome text not null check (outcome in ('solved', 'partly_solved', 'not_solved')),
    graded_at timestamptz not null,
    primary key (assignment_id, version)
);
comment on table grade is 'How residents graded what was handed in; the newest row of an assignment counts';
comment on column grade.assignment_id is 'The assignment';
comment on column grade.version is 'Of the whistle from then on';
comment on column grade.outcome is 'How';
comment on column grade.graded_at is 'When it was recorded here';

create table ladder (
    id uuid primary key,
    assignment_id uuid not null references assignment,
    ordinal int not null,
    kind text not null check (kind in ('answer', 'handling')),
    generation int not null,
    started_at timestamptz not null,
    stopped_at timestamptz,
    unique (assignment_id, ordinal)
);
comment on table ladder is 'The timed steps that guard an assignment';
comment on column ladder.id is 'Drawn when it starts';
comment on column ladder.assignment_id is 'What it guards';
comment on column ladder.ordinal is '1 is the first of its assignment; the last one runs, if any does';
comment on column ladder.kind is 'answer or handling';
comment on column ladder.generation is 'A new deadline starts the next one';
comment on column ladder.started_at is 'Its zero: T0, or the handling deadline';
comment on column ladder.stopped_at is 'Null while it runs; a rung happens if and only if due_at <= stopped_at';

-- Every rung but that at T0 is written once more, when it fires: where there is room on its page, that needs no new index entry.
create table rung (
    ladder_id uuid not null references ladder,
    number int not null,
    due_at timestamptz not null,
    fired_at timestamptz,
    platform_fault boolean not null default false,
    card text check (card in ('yellow', 'red')),
    annul_reason text,
    primary key (ladder_id, number)
) with (fillfactor = 80);
comment on table rung is 'One timed step; its due time is computed once, when the ladder starts';
comment on column rung.ladder_id is 'The ladder';
comment on column rung.number is '1 is the first';
comment on column rung.due_at is 'Never moves';
comment on column rung.fired_at is 'Null until it fires, which it does once';
comment on column rung.platform_fault is 'Fired later than the policy''s bound';
comment on column rung.card is 'The card that it shows when it fires';
comment on column rung.annul_reason is 'Set when the centre annulled the card';

create table firing (
    ladder_id uuid not null,
    rung int not null,
    effects jsonb not null,
    primary key (ladder_id, rung)
);
comment on table firing is 'What a rung that has fired asks for; there is one at most for each rung';
comment on column firing.ladder_id is 'The ladder';
comment on column firing.rung is 'The rung';
comment on column firing.effects is
    'Each with its id, UUIDv5(assignment, ladder, rung, kind, target role), the same in notifications and oversight, its kind and its target';

create view assignment_shown as
    select a.id, a.whistle_id, a.unit_id, u.name as unit_name, a.role, a.state, answer.responsible_person, answer.answered_at,
           submission.result, submission.evidence, submission.submitted_at, grade.outcome, a.closed_at, w.handle_due_at
    from assignment a
    join whistle w on w.id = a.whistle_id
    join unit u on u.id = a.unit_id
    left join lateral (select responsible_person, answered_at from answer where assignment_id = a.id
                       order by version desc limit 1) answer on true
    left join lateral (select result, evidence, submitted_at from submission where assignment_id = a.id
                       order by version desc limit 1) submission on true
    left join lateral (select outcome from grade where assignment_id = a.id order by version desc limit 1) grade on true;
comment on view assignment_shown is 'Assignments with their newest answer, submission and grade';

create or replace view leaving as
    select e.id, e.kind, l.assignment_id, e.target, r.due_at
    from log_head head
    join rung r on r.fired_at >= head.held_at
    join ladder l on l.id = r.ladder_id
    join firing f on f.ladder_id = r.ladder_id and f.rung = r.number
    cross join jsonb_to_recordset(f.effects) as e (id uuid, kind text, target text)
    where e.kind <> 'card';

insert into policy (drill, reminder_check_after_ms, platform_fault_after_ms, answer, handling) values (
    false, 60000, 300000,
    '[{"after_ms": 0, "sms": {"text": 1, "targets": ["duty"]}},
      {"after_ms": 3600000, "sms": {"text": 2, "targets": ["duty", "head"]}, "card": "yellow", "callee": "head"},
      {"after_ms": 14400000, "sms": {"text": 3, "targets": ["duty", "head", "deputy_mayor"]}, "card": "red", "callee": "deputy_mayor"},
      {"after_ms": 54000000, "push": true}]',
    '[{"after_ms": -14400000, "sms": {"text": 1, "targets": ["duty"]}},
      {"after_ms": 0, "sms": {"text": 2, "targets": ["duty", "head"]}, "card": "yellow", "callee": "head"},
      {"after_ms": 14400000, "sms": {"text": 3, "targets": ["duty", "head", "deputy_mayor"]}, "card": "red", "callee": "deputy_mayor"},
      {"after_ms": 54000000, "push": true}]'
);
