//! Whom a ladder can reach, and whom it cannot; and how the directory changes.

use std::collections::BTreeSet;

use super::policy::{Policy, Step};
use super::{Target, UnitId};

/// The contact roles that a unit itself must hold; the deputy district mayor belongs to the matter.
pub const OF_UNIT: [Target; 2] = [Target::Duty, Target::Head];

/// A role that somebody would be reached in, and nobody holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// None for a deputy district mayor.
    pub unit: Option<UnitId>,
    /// The role.
    pub role: Target,
}

/// What is missing for these units under this policy.
pub fn missing(policy: &Policy, units: &[(UnitId, Vec<Target>)], has_deputy_mayor: bool) -> Vec<Missing> {
    let needed: BTreeSet<Target> = policy.answer.iter().chain(&policy.handling).flat_map(targets).collect();
    let of_unit = units.iter().flat_map(|(unit, held)| {
        let lacking = OF_UNIT.into_iter().filter(|role| needed.contains(role) && !held.contains(role));
        lacking.map(|role| Missing { unit: Some(*unit), role })
    });
    let mayor = (needed.contains(&Target::DeputyMayor) && !has_deputy_mayor)
        .then_some(Missing { unit: None, role: Target::DeputyMayor });
    of_unit.chain(mayor).collect()
}

fn targets(step: &Step) -> impl Iterator<Item = Target> {
    step.sms.iter().flat_map(|sms| sms.targets.iter().copied()).chain(step.callee)
}

/// Somebody who holds a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The role.
    pub role: Target,
    /// Who.
    pub name: String,
    /// How to reach them.
    pub phone: String,
}

/// What can be asked of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A unit with its contacts, new or in place of what is there.
    PutUnit {
        /// Chosen by whoever enters it.
        id: UnitId,
        /// Shown to people.
        name: String,
        /// One a role.
        contacts: Vec<Contact>,
        /// Version of what was read; none to replace whatever is there.
        read: Option<i64>,
    },
    /// The deputy district mayor in charge of a matter.
    PutDeputyMayor {
        /// Code of the matter.
        matter: String,
        /// Who.
        name: String,
        /// How to reach them.
        phone: String,
        /// As a unit's.
        read: Option<i64>,
    },
}

/// What has become of an entry: its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What was asked.
    pub command: Command,
    /// Grows with every change of the entry.
    pub version: i64,
}

/// Somebody has changed the entry since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedMeanwhile;

/// What a command makes of an entry of this version; of none yet, of 0.
pub fn decide(version: i64, command: Command) -> Result<Changed, ChangedMeanwhile> {
    let read = match &command {
        Command::PutUnit { read, .. } | Command::PutDeputyMayor { read, .. } => *read,
    };
    match read {
        Some(read) if read != version => Err(ChangedMeanwhile),
        Some(_) | None => Ok(Changed { command, version: version + 1 }),
    }
}

/// Whether a number can be dialled: a mobile of 11 digits, or a landline with area code.
pub fn is_phone(phone: &str) -> bool {
    let digits = phone.chars().all(|c| c.is_ascii_digit() || c == '-') && !phone.starts_with('-');
    let mobile = phone.len() == 11 && phone.starts_with('1') && !phone.contains('-');
    let landline = phone.starts_with('0') && (10..=13).contains(&phone.len());
    digits && (mobile || landline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mobiles_and_landlines_are_phones_and_other_text_is_not() {
        assert!(is_phone("13812345678") && is_phone("0473-2998110"));
        assert!(!is_phone("1381234567") && !is_phone("138-1234567") && !is_phone("call me") && !is_phone(""));
    }

    #[test]
    fn an_entry_that_was_changed_since_it_was_read_is_not_replaced() {
        let put =
            |read| Command::PutUnit { id: UnitId(uuid::Uuid::nil()), name: String::new(), contacts: vec![], read };
        assert_eq!(decide(3, put(Some(3))).unwrap().version, 4);
        assert_eq!(decide(3, put(Some(2))), Err(ChangedMeanwhile));
        assert_eq!(decide(3, put(None)).unwrap().version, 4);
        assert_eq!(decide(0, put(None)).unwrap().version, 1);
    }
}
