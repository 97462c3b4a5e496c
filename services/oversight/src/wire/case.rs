//! Cases.

use foundation::base::time::to_wire;
use foundation::base::{Violations, Wire as _};
use foundation::data::Page;
use proto::oversight::v1;
use uuid::Uuid;

use super::timeline;
use crate::domain::CaseState;
use crate::domain::case::{Changed, Command};
use crate::views::case::{Correction, Whole};

/// The centre lets a held case go.
pub fn release(v: &mut Violations, request: &v1::ReleaseCaseRequest) -> Command {
    Command::Release(v.uuid("case_id", &request.case_id))
}

/// What a command answers.
pub fn status(changed: &Changed) -> v1::CaseStatus {
    v1::CaseStatus {
        case_id: changed.case.id.to_string(),
        state: changed.case.state.number(),
        version: changed.case.version,
        update_time: Some(to_wire(changed.at)),
    }
}

/// Which case.
pub fn key(v: &mut Violations, request: &v1::GetCaseRequest) -> Uuid {
    v.uuid("case_id", &request.case_id)
}

/// In which state, and which page.
pub fn list(v: &mut Violations, request: &v1::ListCasesRequest) -> (Option<CaseState>, Page<Uuid>) {
    let state = v.word_if_set("state", request.state);
    let page = Page::parse(v, request.page_size, &request.page_token, &("cases", state));
    (state, page)
}

/// A case as a screen shows one.
pub fn shown(whole: Whole) -> v1::Case {
    let row = whole.case;
    v1::Case {
        case_id: row.id.to_string(),
        whistle_id: row.whistle_id.to_string(),
        assignment_id: row.assignment_id.to_string(),
        unit_id: row.unit_id.to_string(),
        state: row.state.number(),
        due_time: Some(to_wire(row.due_at)),
        late_by_ms: row.left_at.map_or(0, |left| (left - row.due_at).num_milliseconds()),
        receive_time: row.accepted_at.map(to_wire),
        receipt: row.receipt.unwrap_or_default(),
        timeline: whole.timeline.iter().map(timeline::shown).collect(),
        corrections: whole.corrections.into_iter().map(correction).collect(),
    }
}

fn correction(row: Correction) -> v1::Correction {
    v1::Correction {
        correction_id: row.id.to_string(),
        receipt: row.receipt.unwrap_or_default(),
        receive_time: row.accepted_at.map(to_wire),
    }
}
