//! The directory.

use std::collections::BTreeSet;

use foundation::base::text::masked;
use foundation::base::time::to_wire;
use foundation::base::{Violations, Wire as _};
use foundation::data::Page;
use proto::dispatch::v1;
use uuid::Uuid;

use crate::domain::directory::{Changed, Command, Contact, is_phone};
use crate::domain::{AssignmentId, LadderId, Target, UnitId};
use crate::views::directory::{Gap, Resolved, Unit};

const PHONE: &str = "must be a mobile number of 11 digits or a landline with area code";

/// A unit to be entered.
pub fn put_unit(v: &mut Violations, request: &v1::PutUnitRequest) -> Command {
    let unit = v.part("unit", &request.unit);
    let id = UnitId(v.uuid("unit.unit_id", &unit.unit_id));
    let name = v.text("unit.name", &unit.name, 1..=60);
    let contacts = v.list("unit.contacts", &unit.contacts, 0..=3, contact);
    let roles: BTreeSet<_> = contacts.iter().map(|contact| contact.role).collect();
    v.require(roles.len() == contacts.len(), "unit.contacts", "must name each role at most once");
    Command::PutUnit { id, name, contacts, read: etag(v, "unit.etag", &unit.etag) }
}

fn contact(v: &mut Violations, path: &str, contact: &v1::Contact) -> Contact {
    let role: Target = v.word(&format!("{path}.role"), contact.role);
    v.require(role.is_of_unit(), &format!("{path}.role"), "must be DUTY, HEAD or DEPUTY");
    v.require(is_phone(&contact.phone), &format!("{path}.phone"), PHONE);
    Contact { role, name: v.text(&format!("{path}.name"), &contact.name, 1..=50), phone: contact.phone.clone() }
}

/// A deputy mayor to be entered.
pub fn put_deputy_mayor(v: &mut Violations, request: &v1::PutDeputyMayorRequest) -> Command {
    let mayor = v.part("deputy_mayor", &request.deputy_mayor);
    v.require(is_phone(&mayor.phone), "deputy_mayor.phone", PHONE);
    Command::PutDeputyMayor {
        matter: v.text("deputy_mayor.matter", &mayor.matter, 1..=50),
        name: v.text("deputy_mayor.name", &mayor.name, 1..=50),
        phone: mayor.phone,
        read: etag(v, "deputy_mayor.etag", &mayor.etag),
    }
}

/// An etag is the version that was read.
fn etag(v: &mut Violations, field: &str, etag: &str) -> Option<i64> {
    let version = etag.parse().ok();
    v.require(etag.is_empty() || version.is_some(), field, "must be the etag of what was read, or empty");
    version
}

/// What entering a unit answers.
pub fn unit_put(changed: &Changed) -> v1::PutUnitResponse {
    let unit_id = match &changed.command {
        Command::PutUnit { id, .. } => id.to_string(),
        Command::PutDeputyMayor { .. } => String::new(),
    };
    v1::PutUnitResponse { unit_id, etag: changed.version.to_string() }
}

/// What entering a deputy mayor answers.
pub fn deputy_mayor_put(changed: &Changed) -> v1::PutDeputyMayorResponse {
    v1::PutDeputyMayorResponse { etag: changed.version.to_string() }
}

/// Which unit.
pub fn unit_key(v: &mut Violations, request: &v1::GetUnitRequest) -> UnitId {
    UnitId(v.uuid("unit_id", &request.unit_id))
}

/// Which page of units.
pub fn units(v: &mut Violations, request: &v1::ListUnitsRequest) -> Page<Uuid> {
    Page::parse(v, request.page_size, &request.page_token, &"units")
}

/// Which page of gaps.
pub fn gaps(v: &mut Violations, request: &v1::AuditContactsRequest) -> Page<Uuid> {
    Page::parse(v, request.page_size, &request.page_token, &"gaps")
}

/// Whom an effect is for.
pub fn target(v: &mut Violations, request: &v1::ResolveTargetRequest) -> (AssignmentId, LadderId, Target) {
    (
        AssignmentId(v.uuid("assignment_id", &request.assignment_id)),
        LadderId(v.uuid("ladder_id", &request.ladder_id)),
        v.word("target", request.target),
    )
}

/// A unit as a screen shows one, numbers masked.
pub fn unit(unit: Unit) -> v1::Unit {
    let contacts = unit.contacts.into_iter().map(|contact| v1::Contact {
        role: contact.role.number(),
        name: contact.name,
        phone: masked(&contact.phone),
    });
    v1::Unit {
        unit_id: unit.id.to_string(),
        name: unit.name,
        contacts: contacts.collect(),
        etag: unit.version.to_string(),
    }
}

/// A unit that lacks contacts.
pub fn gap(gap: Gap) -> v1::UnitGap {
    let missing = gap.missing.into_iter().map(|role| role.number()).collect();
    v1::UnitGap { unit_id: gap.id.to_string(), name: gap.name, missing }
}

/// Whom an effect is for; the contact, in clear, is for whoever dials and texts.
pub fn resolved(target: Target, row: Resolved, with_contact: bool) -> v1::ResolveTargetResponse {
    let contact = row.name.zip(row.phone).filter(|_| with_contact);
    v1::ResolveTargetResponse {
        unit_name: row.unit_name,
        title: row.title,
        place: row.place,
        blow_time: Some(to_wire(row.blown_at)),
        handle_due_time: Some(to_wire(row.handle_due_at)),
        stop_time: row.stopped_at.map(to_wire),
        contact: contact.map(|(name, phone)| v1::Contact { role: target.number(), name, phone }),
    }
}
