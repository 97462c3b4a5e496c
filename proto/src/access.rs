//! Who may call what: the one table (rpc, role, relation). What is not in it is denied.
//!
//! The auth layer checks the role before a handler runs, and makes of the relation the scope that every load and every list puts in
//! its `where`: a record outside of it is not found. A test fails when an rpc has no row.

/// A role of the token's `roles` claim, by its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Resident,
    GridWorker,
    Community,
    Street,
    Unit,
    Leader,
    Centre,
    Hotline,
    Oversight,
    Merchant,
    Ops,
    Service,
}

/// How the caller must relate to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Any record.
    Any,
    /// A record of the caller's area or below it.
    Area,
    /// A record of the caller's unit.
    Unit,
    /// A record of a matter that the caller is in charge of (claim `matters`).
    Matters,
    /// A record that the caller handed in.
    Own,
    /// Any record, if the caller is this service (`sub` of its token).
    Workload(&'static str),
}

/// One row: an rpc and who may call it.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// `/package.Service/Method`
    pub rpc: &'static str,
    /// Roles and how each must relate to the record; `None` for an rpc that carries its own credential.
    pub grants: Option<&'static [(Role, Relation)]>,
}

impl Role {
    /// Every role, for tests that try them all.
    pub const ALL: [Role; 12] = [
        Role::Resident,
        Role::GridWorker,
        Role::Community,
        Role::Street,
        Role::Unit,
        Role::Leader,
        Role::Centre,
        Role::Hotline,
        Role::Oversight,
        Role::Merchant,
        Role::Ops,
        Role::Service,
    ];

    /// The name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Role::Resident => "resident",
            Role::GridWorker => "grid_worker",
            Role::Community => "community",
            Role::Street => "street",
            Role::Unit => "unit",
            Role::Leader => "leader",
            Role::Centre => "centre",
            Role::Hotline => "hotline",
            Role::Oversight => "oversight",
            Role::Merchant => "merchant",
            Role::Ops => "ops",
            Role::Service => "service",
        }
    }
}

/// The row of an rpc, or none: then nobody may call it.
pub fn find(rpc: &str) -> Option<&'static Access> {
    ACCESS.iter().find(|access| access.rpc == rpc)
}

use Relation::{Any, Area, Matters, Own, Unit as OwnUnit, Workload};
use Role::{Centre, Community, GridWorker, Hotline, Leader, Ops, Oversight, Resident, Service, Street, Unit};

const fn row(rpc: &'static str, grants: &'static [(Role, Relation)]) -> Access {
    Access { rpc, grants: Some(grants) }
}

const READ_LOOP: &[(Role, Relation)] =
    &[(Community, Area), (Street, Area), (Leader, Matters), (Centre, Any), (Oversight, Any)];
const READ_WHISTLE: &[(Role, Relation)] =
    &[(Community, Area), (Street, Area), (Unit, OwnUnit), (Leader, Matters), (Centre, Any), (Oversight, Any)];
const RAISE: &[(Role, Relation)] =
    &[(Resident, Own), (GridWorker, Area), (Community, Area), (Street, Area), (Centre, Any), (Hotline, Own)];
const FOLLOW: &[(Role, Relation)] = &[
    (Resident, Own),
    (GridWorker, Area),
    (Community, Area),
    (Street, Area),
    (Leader, Matters),
    (Centre, Any),
    (Hotline, Own),
    (Oversight, Any),
];

/// The table.
pub const ACCESS: &[Access] = &[
    row("/haiqu.events.v1.EventLogService/Read", &[(Service, Any)]),
    row("/haiqu.ops.v1.DeadLetterService/ListDeadLetters", &[(Ops, Any)]),
    row("/haiqu.ops.v1.DeadLetterService/ReplayDeadLetters", &[(Ops, Any)]),
    row("/haiqu.ops.v1.DeadLetterService/DiscardDeadLetter", &[(Ops, Any)]),
    row("/haiqu.ops.v1.HoldService/GetHold", &[(Ops, Any)]),
    row("/haiqu.ops.v1.HoldService/ListHeldEffects", &[(Ops, Any)]),
    row("/haiqu.ops.v1.HoldService/ReleaseHold", &[(Ops, Any)]),
    row("/haiqu.ops.v1.HoldService/ConfirmClock", &[(Ops, Any)]),
    row("/haiqu.ops.v1.ConsumerService/ListConsumers", &[(Ops, Any)]),
    row("/haiqu.ops.v1.ConsumerService/StrikeOffConsumer", &[(Ops, Any)]),
    row(
        "/haiqu.residents.v1.ResidentService/RegisterResident",
        &[(GridWorker, Area), (Community, Area), (Centre, Any)],
    ),
    row("/haiqu.residents.v1.ResidentService/GetResident", &[(GridWorker, Area), (Community, Area), (Centre, Any)]),
    row("/haiqu.residents.v1.ResidentService/ListResidents", &[(GridWorker, Area), (Community, Area), (Centre, Any)]),
    row(
        "/haiqu.grievances.v1.GrievanceService/UploadPhoto",
        &[
            (Resident, Own),
            (GridWorker, Any),
            (Community, Any),
            (Street, Any),
            (Unit, Any),
            (Centre, Any),
            (Hotline, Own),
        ],
    ),
    row("/haiqu.grievances.v1.GrievanceService/SubmitGrievance", RAISE),
    row("/haiqu.grievances.v1.GrievanceService/ReviewGrievance", &[(Street, Area), (Centre, Any)]),
    row(
        "/haiqu.grievances.v1.GrievanceService/GradeGrievance",
        &[(Resident, Own), (GridWorker, Area), (Community, Area), (Hotline, Own)],
    ),
    row("/haiqu.grievances.v1.GrievanceService/GetGrievance", FOLLOW),
    row("/haiqu.grievances.v1.GrievanceService/LookUpGrievance", &[(Hotline, Own), (Centre, Any)]),
    row("/haiqu.grievances.v1.GrievanceService/ListGrievances", READ_LOOP),
    row("/haiqu.grievances.v1.GrievanceService/ListGrievanceChanges", FOLLOW),
    row("/haiqu.grievances.v1.GrievanceService/WatchGrievances", FOLLOW),
    row("/haiqu.dispatch.v1.WhistleService/BlowWhistle", &[(Street, Area), (Centre, Any)]),
    row("/haiqu.dispatch.v1.WhistleService/GetWhistle", READ_WHISTLE),
    row("/haiqu.dispatch.v1.WhistleService/ListWhistles", READ_LOOP),
    row("/haiqu.dispatch.v1.WhistleService/ListAssignments", &[(Unit, OwnUnit), (Centre, Any)]),
    row(
        "/haiqu.dispatch.v1.WhistleService/AnswerAssignment",
        &[(Unit, OwnUnit), (Centre, Any), (Service, Workload("notifications"))],
    ),
    row("/haiqu.dispatch.v1.WhistleService/SubmitAssignment", &[(Unit, OwnUnit)]),
    row("/haiqu.dispatch.v1.WhistleService/ConfirmAssignment", &[(Street, Area), (Centre, Any)]),
    row("/haiqu.dispatch.v1.WhistleService/WithdrawWhistle", &[(Street, Area)]),
    row("/haiqu.dispatch.v1.WhistleService/AnnulCard", &[(Centre, Any)]),
    row("/haiqu.dispatch.v1.WhistleService/ListWhistleChanges", READ_WHISTLE),
    row("/haiqu.dispatch.v1.WhistleService/WatchWhistles", READ_WHISTLE),
    row("/haiqu.dispatch.v1.DirectoryService/PutUnit", &[(Centre, Any)]),
    row("/haiqu.dispatch.v1.DirectoryService/GetUnit", &[(Centre, Any), (Unit, OwnUnit)]),
    row("/haiqu.dispatch.v1.DirectoryService/ListUnits", &[(Street, Any), (Centre, Any)]),
    row("/haiqu.dispatch.v1.DirectoryService/PutDeputyMayor", &[(Centre, Any)]),
    row("/haiqu.dispatch.v1.DirectoryService/AuditContacts", &[(Centre, Any)]),
    row(
        "/haiqu.dispatch.v1.DirectoryService/ResolveTarget",
        &[(Service, Workload("notifications")), (Service, Workload("oversight"))],
    ),
    row("/haiqu.dispatch.v1.PolicyService/CreatePolicy", &[(Centre, Any)]),
    row("/haiqu.dispatch.v1.PolicyService/GetPolicy", &[(Street, Any), (Centre, Any), (Unit, Any), (Oversight, Any)]),
    row("/haiqu.notifications.v1.MessageService/ListMessages", &[(Centre, Any), (Oversight, Any)]),
    row("/haiqu.notifications.v1.CallTaskService/ListCallTasks", &[(Centre, Any)]),
    row("/haiqu.notifications.v1.CallTaskService/RecordCall", &[(Centre, Any)]),
    row("/haiqu.notifications.v1.AlarmService/ListAlarms", &[(Centre, Any), (Ops, Any)]),
    Access { rpc: "/haiqu.notifications.v1.AnswerLinkService/AnswerByLink", grants: None },
    row("/haiqu.oversight.v1.CaseService/GetCase", &[(Centre, Any), (Oversight, Any)]),
    row("/haiqu.oversight.v1.CaseService/ListCases", &[(Centre, Any), (Oversight, Any)]),
    row("/haiqu.oversight.v1.CaseService/ReleaseCase", &[(Centre, Any)]),
];
