//! Policies.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use foundation::base::time::to_wire;
use foundation::base::words::number;
use foundation::base::{Violations, Wire as _};
use proto::dispatch::v1;

use crate::domain::Target;
use crate::domain::policy::{Created, Policy, Sms, Step};
use crate::views::policy::Row;

const PEOPLE: &str = "must be of DUTY, HEAD, DEPUTY, DEPUTY_MAYOR, each at most once";
const YEAR_MS: i64 = 366 * 24 * 3_600_000;

/// A policy to be added.
pub fn create(v: &mut Violations, request: &v1::CreatePolicyRequest) -> Policy {
    let policy = v.part("policy", &request.policy);
    Policy {
        version: 0,
        drill: policy.drill,
        reminder_check_after: bound(v, "policy.reminder_check_after", policy.reminder_check_after, 60_000),
        platform_fault_after: bound(v, "policy.platform_fault_after", policy.platform_fault_after, 300_000),
        answer: steps(v, "policy.answer_rungs", &policy.answer_rungs, true),
        handling: steps(v, "policy.handling_rungs", &policy.handling_rungs, false),
    }
}

fn bound(v: &mut Violations, field: &str, value: Option<prost_types::Duration>, default_ms: i64) -> TimeDelta {
    let milliseconds = value.map_or(Some(default_ms), |value| millis(&value)).filter(|bound| *bound > 0);
    v.require(milliseconds.is_some(), field, "must be a positive duration");
    TimeDelta::milliseconds(milliseconds.unwrap_or(default_ms))
}

fn steps(v: &mut Violations, field: &str, rungs: &[v1::PolicyRung], from_zero: bool) -> Vec<Step> {
    let steps = v.list(field, rungs, 0..=20, step);
    let growing = steps.windows(2).all(|pair| matches!(pair, [a, b] if a.after_ms < b.after_ms));
    v.require(growing, field, "must grow in time");
    let starts = !from_zero || steps.first().is_some_and(|step: &Step| step.after_ms == 0);
    v.require(starts, field, "must begin with a rung at 0");
    steps
}

fn step(v: &mut Violations, path: &str, rung: &v1::PolicyRung) -> Step {
    let after = rung.after.as_ref().and_then(millis).filter(|after| after.abs() <= YEAR_MS);
    v.require(after.is_some(), &format!("{path}.after"), "must be a duration of at most a year");
    let has_text = matches!(rung.sms_text, 1..=3) && !rung.sms_targets.is_empty();
    let no_text = rung.sms_text == 0 && rung.sms_targets.is_empty();
    v.require(has_text || no_text, &format!("{path}.sms_text"), "must be 1 to 3 with targets, or 0 without");
    let field = format!("{path}.sms_targets");
    let targets: Vec<Target> = rung.sms_targets.iter().map(|target| v.word(&field, *target)).collect();
    let distinct = targets.iter().collect::<BTreeSet<_>>().len() == targets.len();
    v.require(distinct && targets.iter().all(|target| target.is_person()), &field, PEOPLE);
    let callee: Option<Target> = v.word_if_set(&format!("{path}.callee"), rung.callee);
    v.require(callee.is_none_or(Target::is_person), &format!("{path}.callee"), PEOPLE);
    Step {
        after_ms: after.unwrap_or_default(),
        sms: has_text.then_some(Sms { text: u8::try_from(rung.sms_text).unwrap_or_default(), targets }),
        card: v.word_if_set(&format!("{path}.card"), rung.card),
        callee,
        push: rung.push,
    }
}

fn millis(duration: &prost_types::Duration) -> Option<i64> {
    duration.seconds.checked_mul(1000)?.checked_add(i64::from(duration.nanos) / 1_000_000)
}

/// What adding one answers.
pub fn created(created: &Created) -> v1::CreatePolicyResponse {
    v1::CreatePolicyResponse { version: created.policy.version, create_time: Some(to_wire(created.at)) }
}

/// A policy as a screen shows one.
pub fn shown(row: &Row) -> v1::Policy {
    v1::Policy {
        version: row.version,
        drill: row.drill,
        reminder_check_after: Some(duration(row.reminder_check_after_ms)),
        platform_fault_after: Some(duration(row.platform_fault_after_ms)),
        answer_rungs: row.answer.iter().map(rung).collect(),
        handling_rungs: row.handling.iter().map(rung).collect(),
        create_time: Some(to_wire(row.created_at)),
    }
}

fn rung(step: &Step) -> v1::PolicyRung {
    v1::PolicyRung {
        after: Some(duration(step.after_ms)),
        sms_text: step.sms.as_ref().map_or(0, |sms| sms.text.into()),
        sms_targets: step.sms.iter().flat_map(|sms| &sms.targets).map(|target| target.number()).collect(),
        card: number(step.card),
        callee: number(step.callee),
        push: step.push,
    }
}

fn duration(milliseconds: i64) -> prost_types::Duration {
    let nanos = i32::try_from(milliseconds % 1000 * 1_000_000).unwrap_or_default();
    prost_types::Duration { seconds: milliseconds / 1000, nanos }
}
