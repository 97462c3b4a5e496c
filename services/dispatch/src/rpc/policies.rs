//! Policies over gRPC.

use chrono::TimeDelta;
use foundation::auth;
use foundation::db::Db;
use foundation::rpc::{Violations, internal, once};
use proto::dispatch::v1 as wire;
use proto::dispatch::v1::policy_service_server::PolicyService;
use tonic::{Request, Response, Status};

use super::{card, target};
use crate::domain::Target;
use crate::domain::policy::{Policy, Sms, Step};
use crate::operations::directory as operations;
use crate::views::directory as views;

/// Answers for `PolicyService`.
pub struct Policies {
    pub db: Db,
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn create_policy(
        &self,
        request: Request<wire::CreatePolicyRequest>,
    ) -> Result<Response<wire::Policy>, Status> {
        let (caller, request) = (auth::caller(&request)?, request.into_inner());
        let mut violations = Violations::default();
        let policy = parse(&mut violations, request.policy.clone());
        violations.finish()?;
        once(&self.db, &caller, "CreatePolicy", &request, move |tx| {
            Box::pin(async move { operations::create_policy(tx, &policy).await })
        })
        .await
    }

    async fn get_policy(&self, request: Request<wire::GetPolicyRequest>) -> Result<Response<wire::Policy>, Status> {
        let version = request.into_inner().version;
        let mut connection = self.db.rpc().acquire().await.map_err(internal)?;
        Ok(Response::new(views::policy(&mut connection, version).await?))
    }
}

fn parse(violations: &mut Violations, policy: Option<wire::Policy>) -> Policy {
    let policy = violations.part("policy", policy);
    let bound = |violations: &mut Violations, field: &str, value: Option<prost_types::Duration>, default: i64| {
        let milliseconds = value.map_or(Some(default), |value| millis(&value)).filter(|bound| *bound > 0);
        violations.require(milliseconds.is_some(), field, "must be a positive duration");
        TimeDelta::milliseconds(milliseconds.unwrap_or(default))
    };
    Policy {
        version: 0,
        drill: policy.drill,
        reminder_check_after: bound(violations, "policy.reminder_check_after", policy.reminder_check_after, 60_000),
        platform_fault_after: bound(violations, "policy.platform_fault_after", policy.platform_fault_after, 300_000),
        answer: steps(violations, "policy.answer_rungs", &policy.answer_rungs, true),
        handling: steps(violations, "policy.handling_rungs", &policy.handling_rungs, false),
    }
}

fn steps(violations: &mut Violations, field: &str, rungs: &[wire::PolicyRung], from_zero: bool) -> Vec<Step> {
    violations.require(rungs.len() <= 20, field, "must be at most 20 rungs");
    let mut steps = Vec::with_capacity(rungs.len());
    for (index, rung) in rungs.iter().enumerate() {
        steps.push(step(violations, &format!("{field}[{index}]"), rung));
    }
    let growing = steps.windows(2).all(|pair| matches!(pair, [a, b] if a.after_ms < b.after_ms));
    violations.require(growing, field, "must grow in time");
    let starts = !from_zero || steps.first().is_some_and(|step: &Step| step.after_ms == 0);
    violations.require(starts, field, "must begin with a rung at 0");
    steps
}

fn step(violations: &mut Violations, field: &str, rung: &wire::PolicyRung) -> Step {
    let after = rung.after.as_ref().and_then(millis).filter(|after| after.abs() <= 366 * 24 * 3_600_000);
    violations.require(after.is_some(), &format!("{field}.after"), "must be a duration of at most a year");
    let has_text = matches!(rung.sms_text, 1..=3) && !rung.sms_targets.is_empty();
    let no_text = rung.sms_text == 0 && rung.sms_targets.is_empty();
    violations.require(has_text || no_text, &format!("{field}.sms_text"), "must be 1 to 3 with targets, or 0 without");
    let mut targets = Vec::with_capacity(rung.sms_targets.len());
    for value in &rung.sms_targets {
        targets.push(target(violations, &format!("{field}.sms_targets"), *value));
    }
    let distinct = targets.iter().collect::<std::collections::BTreeSet<_>>().len() == targets.len();
    let reachable = targets.iter().all(|target| is_person(*target));
    violations.require(distinct && reachable, &format!("{field}.sms_targets"), PEOPLE);
    let text = u8::try_from(rung.sms_text).unwrap_or_default();
    let callee = (rung.callee != 0).then(|| target(violations, &format!("{field}.callee"), rung.callee));
    violations.require(callee.is_none_or(is_person), &format!("{field}.callee"), PEOPLE);
    Step {
        after_ms: after.unwrap_or_default(),
        sms: has_text.then_some(Sms { text, targets }),
        card: card(violations, &format!("{field}.card"), rung.card),
        callee,
        push: rung.push,
    }
}

const PEOPLE: &str = "must be of DUTY, HEAD, DEPUTY, DEPUTY_MAYOR, each at most once";

fn is_person(target: Target) -> bool {
    match target {
        Target::Duty | Target::Head | Target::Deputy | Target::DeputyMayor => true,
        Target::CentreHead | Target::OversightPlatform => false,
    }
}

fn millis(duration: &prost_types::Duration) -> Option<i64> {
    duration.seconds.checked_mul(1000)?.checked_add(i64::from(duration.nanos) / 1_000_000)
}
