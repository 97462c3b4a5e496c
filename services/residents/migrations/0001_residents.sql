create table resident (
    id uuid primary key,
    area text not null,
    display_name text not null,
    version bigint not null,
    created_at timestamptz not null
);
comment on table resident is 'Who lives where';
comment on column resident.id is 'Sorts by time';
comment on column resident.area is 'Area code';
comment on column resident.display_name is 'How the person wishes to be shown';
comment on column resident.version is 'Grows with every change';
comment on column resident.created_at is 'When it was registered';
create index resident_area on resident (area text_pattern_ops, id desc);
