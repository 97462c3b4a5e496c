//! Whom a ladder can reach, and whom it cannot.

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

/// A phone number as strangers may see it: `138****5678`.
pub fn masked(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().collect();
    match digits.len() {
        0..8 => "*".repeat(digits.len()),
        length => {
            let (head, tail): (String, String) = (digits[..3].iter().collect(), digits[length - 4..].iter().collect());
            format!("{head}{}{tail}", "*".repeat(length - 7))
        }
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
    fn the_middle_of_a_number_is_hidden() {
        assert_eq!(masked("13812345678"), "138****5678");
        assert_eq!(masked("0473-2998110"), "047*****8110");
        assert_eq!(masked("12345"), "*****");
    }

    #[test]
    fn mobiles_and_landlines_are_phones_and_other_text_is_not() {
        assert!(is_phone("13812345678") && is_phone("0473-2998110"));
        assert!(!is_phone("1381234567") && !is_phone("138-1234567") && !is_phone("call me") && !is_phone(""));
    }
}
