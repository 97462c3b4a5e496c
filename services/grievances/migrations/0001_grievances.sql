create table channel (
    code text primary key,
    name text not null
);
comment on table channel is 'The columns by which grievances come; data, not code';
comment on column channel.code is 'What calls name';
comment on column channel.name is 'What people read';
insert into channel (code, name) values
    ('SNAP_REPORT', '随拍即报'), ('SPEAK_UP', '我有话说'), ('NEIGHBOUR_HELP', '邻里互助'),
    ('GRID_PATROL', '网格巡查'), ('HOME_VISIT', '入户走访'), ('HOTLINE', '12345');

create table photo (
    id uuid primary key,
    owner text not null,
    width int not null,
    height int not null,
    size_bytes bigint not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table photo is 'Pictures in the object store';
comment on column photo.id is 'Also its name there';
comment on column photo.owner is 'Subject of who uploaded it';
comment on column photo.width is 'Pixels';
comment on column photo.height is 'Pixels';
comment on column photo.size_bytes is 'As stored, re-encoded';
comment on column photo.created_at is 'When it was uploaded';

create table grievance (
    id uuid primary key,
    channel text not null references channel,
    text text not null,
    place text not null,
    area text not null,
    photo_ids uuid[] not null,
    source text,
    source_id text,
    owner text not null,
    submitter text not null,
    state text not null check (state in ('raised', 'reviewed', 'whistled', 'handling', 'submitted', 'graded', 'closed')),
    matter text,
    whistle_id uuid,
    whistle_blown_at timestamptz,
    whistle_version bigint not null default 0,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (source, source_id)
);
comment on table grievance is 'What a person asks for; one record whatever channel it came by';
comment on column grievance.id is 'Sorts by time';
comment on column grievance.channel is 'The column it came by';
comment on column grievance.text is 'What it is about';
comment on column grievance.place is 'Where';
comment on column grievance.area is 'Smallest known area';
comment on column grievance.photo_ids is 'Its photos';
comment on column grievance.source is 'The outside system that handed it in';
comment on column grievance.source_id is 'Its number there';
comment on column grievance.owner is 'Subject of whose matter it is: may follow and grade it';
comment on column grievance.submitter is 'Subject of who handed it in';
comment on column grievance.state is 'Where it stands in the loop';
comment on column grievance.matter is 'The matter that it was whistled under; null before';
comment on column grievance.whistle_id is 'The newest whistle over it';
comment on column grievance.whistle_blown_at is 'Its T0: of two whistles the newer one decides';
comment on column grievance.whistle_version is 'Version of the newest event applied of that whistle';
comment on column grievance.version is 'Grows with every change';
comment on column grievance.created_at is 'When it was raised';
comment on column grievance.updated_at is 'Last change';
create index grievance_area on grievance (area text_pattern_ops, id desc);
create index grievance_matter on grievance (matter, id desc) where matter is not null;

create table review (
    grievance_id uuid not null references grievance,
    stage text not null check (stage in ('duty', 'difficulty', 'time_limit')),
    version bigint not null,
    unit_ids uuid[],
    difficulty text check (difficulty in ('simple', 'complex', 'long', 'hard', 'neighbourly')),
    handle_due_at timestamptz,
    recorded_at timestamptz not null,
    primary key (grievance_id, stage, version)
);
comment on table review is 'The street''s review, stage by stage; the newest row of a stage counts';
comment on column review.grievance_id is 'The grievance';
comment on column review.stage is 'duty, difficulty, time_limit';
comment on column review.version is 'Of the grievance from then on';
comment on column review.unit_ids is 'Stage duty: whose duty it is, the lead first';
comment on column review.difficulty is 'Stage difficulty: sets the route';
comment on column review.handle_due_at is 'Stage time_limit: by when';
comment on column review.recorded_at is 'When';

create table grade (
    grievance_id uuid not null references grievance,
    version bigint not null,
    outcome text not null check (outcome in ('solved', 'partly_solved', 'not_solved')),
    satisfaction text not null check (satisfaction in ('satisfied', 'basically_satisfied', 'not_satisfied')),
    remark text not null,
    actor text not null,
    role text not null,
    graded_at timestamptz not null,
    primary key (grievance_id, version)
);
comment on table grade is 'How a grievance was graded; the newest row counts';
comment on column grade.grievance_id is 'The grievance';
comment on column grade.version is 'Of the grievance from then on';
comment on column grade.outcome is 'Solved or not';
comment on column grade.satisfaction is 'Satisfied or not';
comment on column grade.remark is 'What the resident added';
comment on column grade.actor is 'Who graded';
comment on column grade.role is 'In which role';
comment on column grade.graded_at is 'When';

create view grievance_shown as
    select g.id, g.channel, g.text, g.place, g.area, g.photo_ids, g.source, g.source_id, g.owner, g.submitter, g.state, g.matter,
           g.whistle_id, g.created_at, g.updated_at, g.version, duty.unit_ids, difficulty.difficulty, time_limit.handle_due_at,
           grade.outcome, grade.satisfaction, grade.remark
    from grievance g
    left join lateral (select unit_ids from review where grievance_id = g.id and stage = 'duty'
                       order by version desc limit 1) duty on true
    left join lateral (select difficulty from review where grievance_id = g.id and stage = 'difficulty'
                       order by version desc limit 1) difficulty on true
    left join lateral (select handle_due_at from review where grievance_id = g.id and stage = 'time_limit'
                       order by version desc limit 1) time_limit on true
    left join lateral (select outcome, satisfaction, remark from grade where grievance_id = g.id
                       order by version desc limit 1) grade on true;
comment on view grievance_shown is 'Grievances with their newest review and grade';
