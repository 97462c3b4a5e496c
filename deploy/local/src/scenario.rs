//! The main job, played through the public interface: raised with a photo, reviewed, whistled, answered or not, handed in,
//! graded, confirmed, closed. Every call may be repeated, so killing any service only delays the play.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use proto::common::v1 as common;
use proto::dispatch::v1 as dispatch;
use proto::dispatch::v1::blow_whistle_request::{Assignee, Subject};
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use proto::dispatch::v1::policy_service_client::PolicyServiceClient;
use proto::dispatch::v1::whistle_service_client::WhistleServiceClient;
use proto::grievances::v1 as grievances;
use proto::grievances::v1::grievance_service_client::GrievanceServiceClient;
use proto::grievances::v1::review_grievance_request::{DifficultyStage, DutyStage, Stage, TimeLimitStage};
use proto::residents::v1::RegisterResidentRequest;
use proto::residents::v1::resident_service_client::ResidentServiceClient;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::people::{COMMUNITY, STREET, Somebody, channel, request_id};
use crate::stack::Stack;
use crate::verdict::{self, Assignment};

/// A small picture: what matters is that it is one.
pub const PHOTO: &[u8] = include_bytes!("photo.png");

/// A unit of a matter.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: &'static str,
    /// Its duty contact's number.
    pub duty: String,
    /// Its head's number.
    pub head: String,
}

/// A matter to be played.
#[derive(Debug, Clone)]
pub struct Matter {
    /// Code of the matter.
    pub code: &'static str,
    /// What the units are told.
    pub title: &'static str,
    /// Where.
    pub place: &'static str,
    /// What was found.
    pub text: &'static str,
    /// On whom the whistle is blown, the lead first.
    pub units: Vec<Unit>,
}

/// Clients and people.
pub struct Play<'s> {
    stack: &'s Stack,
    centre: Somebody,
    grid_worker: Somebody,
    street: Somebody,
    residents: ResidentServiceClient<Channel>,
    grievances: GrievanceServiceClient<Channel>,
    whistles: WhistleServiceClient<Channel>,
    directory: DirectoryServiceClient<Channel>,
    policies: PolicyServiceClient<Channel>,
}

/// A whistle over a grievance.
#[derive(Debug, Clone)]
pub struct Blown {
    /// The grievance.
    pub grievance: String,
    /// The resident whose matter it is.
    pub resident: String,
    /// As dispatch answered.
    pub whistle: dispatch::BlowWhistleResponse,
    /// What the driver knows of each unit's assignment.
    pub assignments: Vec<Assignment>,
}

/// The real case: 康乐社区's smoke duct.
pub fn smoke_duct() -> Matter {
    Matter {
        code: "CATERING_SMOKE",
        title: "餐饮烟道改向居民院扰民",
        place: "新华街道康乐社区",
        text: "网格员巡查发现一家餐饮店将油烟管道改道通向居民院内，烟味扰民。",
        units: vec![unit("城市管理综合执法局"), unit("市场监督管理局")],
    }
}

/// The invented matter of the invented unit.
pub fn heating() -> Matter {
    Matter {
        code: "HEATING",
        title: "示例小区暖气不热",
        place: "示例小区3号楼",
        text: "居民反映示例小区3号楼暖气不热，多次报修无人处理。",
        units: vec![unit("示例供热公司")],
    }
}

/// A phone number that nobody else of this program has: two units with one phone would have one answer.
fn number() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("138{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn unit(name: &'static str) -> Unit {
    Unit { id: Uuid::now_v7(), name, duty: number(), head: number() }
}

impl<'s> Play<'s> {
    /// Everybody who takes part.
    pub fn new(stack: &'s Stack) -> anyhow::Result<Play<'s>> {
        let somebody = |sub, role, area| Somebody::new(&stack.issuer, sub, role, area, None);
        Ok(Play {
            stack,
            centre: somebody("centre", "centre", None)?,
            grid_worker: somebody("grid-worker", "grid_worker", Some(COMMUNITY))?,
            street: somebody("street", "street", Some(STREET))?,
            residents: ResidentServiceClient::new(channel(stack, "residents")?),
            grievances: GrievanceServiceClient::new(channel(stack, "grievances")?),
            whistles: WhistleServiceClient::new(channel(stack, "dispatch")?),
            directory: DirectoryServiceClient::new(channel(stack, "dispatch")?),
            policies: PolicyServiceClient::new(channel(stack, "dispatch")?),
        })
    }

    /// Loads the domain's ladder with an hour of this length, as a new policy version with the domain's bounds.
    pub async fn load_policy(&self, hour: TimeDelta) -> anyhow::Result<i64> {
        self.load_bounded_policy(hour, None).await
    }

    /// The same with other bounds: when a reminder is checked, and when a delay is the platform's fault.
    pub async fn load_bounded_policy(
        &self,
        hour: TimeDelta,
        bounds: Option<(TimeDelta, TimeDelta)>,
    ) -> anyhow::Result<i64> {
        use common::{Card, TargetRole};
        let role = |word: &&str| match *word {
            "duty" => TargetRole::Duty,
            "head" => TargetRole::Head,
            _ => TargetRole::DeputyMayor,
        };
        let rung = |(step, number): (verdict::Step, i32)| dispatch::PolicyRung {
            after: Some(duration(step.after)),
            sms_text: if step.sms.is_empty() { 0 } else { number },
            sms_targets: step.sms.iter().map(|word| role(word).into()).collect(),
            card: match number {
                2 => Card::Yellow,
                3 => Card::Red,
                _ => Card::Unspecified,
            }
            .into(),
            callee: step.call.map_or(0, |word| role(&word).into()),
            push: step.push,
        };
        let answer_rungs = verdict::ladder(hour).into_iter().zip(1..).map(rung).collect();
        let (check, fault) = bounds.unzip();
        let policy = dispatch::Policy {
            answer_rungs,
            reminder_check_after: check.map(duration),
            platform_fault_after: fault.map(duration),
            ..dispatch::Policy::default()
        };
        let request = dispatch::CreatePolicyRequest { request_id: request_id(), policy: Some(policy) };
        let created = self.centre.call(request, |request| async { self.policies.clone().create_policy(request).await });
        Ok(created.await?.version)
    }

    /// Enters the matter's units, their contacts and the deputy mayor.
    pub async fn enter(&self, matter: &Matter) -> anyhow::Result<()> {
        for unit in &matter.units {
            let contact = |role: common::TargetRole, name: &str, phone: &str| dispatch::Contact {
                role: role.into(),
                name: name.to_owned(),
                phone: phone.to_owned(),
            };
            let contacts = vec![
                contact(common::TargetRole::Duty, "值班员", &unit.duty),
                contact(common::TargetRole::Head, "负责人", &unit.head),
            ];
            let entry = dispatch::Unit {
                unit_id: unit.id.to_string(),
                name: unit.name.into(),
                contacts,
                ..dispatch::Unit::default()
            };
            let request = dispatch::PutUnitRequest { request_id: request_id(), unit: Some(entry) };
            self.centre.call(request, |request| async { self.directory.clone().put_unit(request).await }).await?;
        }
        let mayor = dispatch::DeputyMayor {
            matter: matter.code.into(),
            name: "分管副区长".into(),
            phone: "13900000001".into(),
            ..dispatch::DeputyMayor::default()
        };
        let request = dispatch::PutDeputyMayorRequest { request_id: request_id(), deputy_mayor: Some(mayor) };
        self.centre.call(request, |request| async { self.directory.clone().put_deputy_mayor(request).await }).await?;
        Ok(())
    }

    /// Photo, grievance, three stages of review. Returns grievance and resident.
    pub async fn raise(&self, matter: &Matter, handle_due_at: DateTime<Utc>) -> anyhow::Result<(String, String)> {
        let request =
            RegisterResidentRequest {
                request_id: request_id(), area: COMMUNITY.into(), display_name: "李阿姨".into()
            };
        let register = |request| async { self.residents.clone().register_resident(request).await };
        let resident = self.grid_worker.call(request, register).await?.resident_id;
        let photo = self.photo(&self.grid_worker).await?;
        let request = grievances::SubmitGrievanceRequest {
            request_id: request_id(),
            channel: "GRID_PATROL".into(),
            text: matter.text.into(),
            place: matter.place.into(),
            area: COMMUNITY.into(),
            photo_ids: vec![photo],
            resident_id: resident.clone(),
            ..grievances::SubmitGrievanceRequest::default()
        };
        let submit = |request| async { self.grievances.clone().submit_grievance(request).await };
        let grievance = self.grid_worker.call(request, submit).await?.grievance_id;
        let unit_ids = matter.units.iter().map(|unit| unit.id.to_string()).collect();
        let handle_due_time = Some(timestamp(handle_due_at));
        for stage in [
            Stage::Duty(DutyStage { unit_ids }),
            Stage::Difficulty(DifficultyStage { difficulty: common::Difficulty::Complex.into() }),
            Stage::TimeLimit(TimeLimitStage { handle_due_time }),
        ] {
            let (request_id, grievance_id) = (request_id(), grievance.clone());
            let request = grievances::ReviewGrievanceRequest { request_id, grievance_id, stage: Some(stage) };
            let review = |request| async { self.grievances.clone().review_grievance(request).await };
            self.street.call(request, review).await?;
        }
        Ok((grievance, resident))
    }

    /// Uploads the photo.
    pub async fn photo(&self, who: &Somebody) -> anyhow::Result<String> {
        let request = grievances::UploadPhotoRequest { request_id: request_id(), content: PHOTO.into() };
        let upload = |request| async { self.grievances.clone().upload_photo(request).await };
        Ok(who.call(request, upload).await?.photo_id)
    }

    /// Blows the whistle on the matter's units.
    pub async fn blow(&self, matter: &Matter, policy: i64) -> anyhow::Result<Blown> {
        let handle_due_at = crate::now() + TimeDelta::days(3);
        let (grievance, resident) = self.raise(matter, handle_due_at).await?;
        let role = |index| if index == 0 { common::AssignmentRole::Lead } else { common::AssignmentRole::Supporting };
        let assignee =
            |(index, unit): (usize, &Unit)| Assignee { unit_id: unit.id.to_string(), role: role(index).into() };
        let request = dispatch::BlowWhistleRequest {
            request_id: request_id(),
            subject: Some(Subject::GrievanceId(grievance.clone())),
            area: COMMUNITY.into(),
            matter: matter.code.into(),
            title: matter.title.into(),
            place: matter.place.into(),
            difficulty: common::Difficulty::Complex.into(),
            assignees: matter.units.iter().enumerate().map(assignee).collect(),
            handle_due_time: Some(timestamp(handle_due_at)),
            policy_version: policy,
        };
        let blow = |request| async { self.whistles.clone().blow_whistle(request).await };
        let whistle = self.street.call(request, blow).await?;
        if !whistle.missing_contacts.is_empty() {
            bail!("the directory lacks {:?}", whistle.missing_contacts);
        }
        let assignments = assignments(&whistle, matter)?;
        Ok(Blown { grievance, resident, whistle, assignments })
    }

    /// The unit answers through its own system. Returns when that was recorded.
    pub async fn answer(&self, unit: &Unit, assignment: Uuid) -> anyhow::Result<DateTime<Utc>> {
        let request = dispatch::AnswerAssignmentRequest {
            request_id: request_id(),
            assignment_id: assignment.to_string(),
            responsible_person: "王工".into(),
        };
        let answer = |request| async { self.whistles.clone().answer_assignment(request).await };
        let answered = self.of_unit(unit)?.call(request, answer).await?;
        answered.update_time.as_ref().and_then(time).context("no time")
    }

    /// The unit hands in with evidence.
    pub async fn submit(&self, unit: &Unit, assignment: Uuid, matter: &Matter) -> anyhow::Result<()> {
        let who = self.of_unit(unit)?;
        let evidence = dispatch::Evidence {
            photo_id: self.photo(&who).await?,
            place: matter.place.into(),
            capture_time: Some(timestamp(crate::now())),
        };
        let request = dispatch::SubmitAssignmentRequest {
            request_id: request_id(),
            assignment_id: assignment.to_string(),
            result: "已到现场处置完毕。".into(),
            evidence: vec![evidence],
        };
        who.call(request, |request| async { self.whistles.clone().submit_assignment(request).await }).await?;
        Ok(())
    }

    /// The resident grades once everything was handed in.
    pub async fn grade(&self, blown: &Blown) -> anyhow::Result<()> {
        self.until(blown, grievances::GrievanceState::Submitted).await?;
        let resident = Somebody::new(&self.stack.issuer, &blown.resident, "resident", Some(COMMUNITY), None)?;
        let grade = grievances::Grade {
            outcome: common::Outcome::Solved.into(),
            satisfaction: common::Satisfaction::Satisfied.into(),
            remark: "处理得很快，谢谢。".into(),
        };
        let (request_id, grievance_id) = (request_id(), blown.grievance.clone());
        let request = grievances::GradeGrievanceRequest { request_id, grievance_id, grade: Some(grade) };
        resident.call(request, |request| async { self.grievances.clone().grade_grievance(request).await }).await?;
        Ok(())
    }

    /// The street confirms every assignment; whistle and grievance close.
    pub async fn confirm(&self, blown: &Blown) -> anyhow::Result<()> {
        for assignment in &blown.assignments {
            let (request_id, assignment_id) = (request_id(), assignment.id.to_string());
            let request = dispatch::ConfirmAssignmentRequest { request_id, assignment_id };
            let confirm = |request| async { self.whistles.clone().confirm_assignment(request).await };
            self.street.call(request, confirm).await?;
        }
        self.until(blown, grievances::GrievanceState::Closed).await
    }

    async fn until(&self, blown: &Blown, state: grievances::GrievanceState) -> anyhow::Result<()> {
        for _ in 0..600 {
            let request = grievances::GetGrievanceRequest { grievance_id: blown.grievance.clone() };
            let get = |request| async { self.grievances.clone().get_grievance(request).await };
            if self.street.call(request, get).await?.state() == state {
                return Ok(());
            }
            crate::pause(Duration::from_millis(50)).await;
        }
        bail!("the grievance did not become {} within 30 s", state.as_str_name())
    }

    fn of_unit(&self, unit: &Unit) -> anyhow::Result<Somebody> {
        Somebody::new(&self.stack.issuer, unit.name, "unit", None, Some(unit.id))
    }
}

fn assignments(whistle: &dispatch::BlowWhistleResponse, matter: &Matter) -> anyhow::Result<Vec<Assignment>> {
    let blown_at = whistle.blow_time.as_ref().and_then(time).context("no T0")?;
    let known = |assignment: &dispatch::BlownAssignment| {
        let unit = matter.units.iter().find(|unit| unit.id.to_string() == assignment.unit_id);
        Ok(Assignment {
            unit: unit.context("a unit that was not called")?.name.into(),
            id: assignment.assignment_id.parse()?,
            ladder: assignment.ladder_id.parse()?,
            blown_at,
            answered_at: None,
        })
    };
    whistle.assignments.iter().map(known).collect()
}

/// An instant from the wire; none when it is out of range.
pub fn time(at: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

/// An instant on the wire.
pub fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

fn duration(span: TimeDelta) -> prost_types::Duration {
    prost_types::Duration { seconds: span.num_seconds(), nanos: span.subsec_nanos() }
}
