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
    unit_ids uuid[],
    difficulty text check (difficulty in ('simple', 'complex', 'long', 'hard', 'neighbourly')),
    handle_by timestamptz,
    whistle_id uuid,
    whistle_blown_at timestamptz,
    whistle_version bigint not null default 0,
    outcome text check (outcome in ('solved', 'partly_solved', 'not_solved')),
    satisfaction text check (satisfaction in ('satisfied', 'basically_satisfied', 'not_satisfied')),
    remark text,
    version bigint not null default 1,
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
comment on column grievance.unit_ids is 'Review stage 1: whose duty it is, the lead first; null before it';
comment on column grievance.difficulty is 'Review stage 2: sets the route; null before it';
comment on column grievance.handle_by is 'Review stage 3: by when; null before it';
comment on column grievance.whistle_id is 'The newest whistle over it';
comment on column grievance.whistle_blown_at is 'Its T0: of two whistles the newer one decides';
comment on column grievance.whistle_version is 'Version of the newest fact applied of that whistle';
comment on column grievance.outcome is 'How the resident graded it';
comment on column grievance.satisfaction is 'How satisfied the resident is';
comment on column grievance.remark is 'What the resident added';
comment on column grievance.version is 'Grows with every change';
comment on column grievance.created_at is 'When it was raised';
comment on column grievance.updated_at is 'Last change';
create index grievance_area on grievance (area text_pattern_ops, id desc);

create table step (
    grievance_id uuid not null references grievance,
    version bigint not null,
    state text not null,
    at timestamptz not null,
    primary key (grievance_id, version)
);
comment on table step is 'What has happened to a grievance';
comment on column step.grievance_id is 'The grievance';
comment on column step.version is 'Its version then';
comment on column step.state is 'Its state from then on';
comment on column step.at is 'When';
