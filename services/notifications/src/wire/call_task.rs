//! Call tasks.

use foundation::base::time::to_wire;
use foundation::base::words::number;
use foundation::base::{Violations, Wire as _};
use foundation::data::Page;
use proto::notifications::v1;
use uuid::Uuid;

use crate::domain::CallTaskState;
use crate::domain::call_task::{Changed, Command, Record};
use crate::views::call_task::Row;

/// A call that was made.
pub fn record(v: &mut Violations, request: &v1::RecordCallRequest) -> Command {
    let id = v.uuid("call_task_id", &request.call_task_id);
    let given = v.part("record", &request.record);
    let record = Record {
        caller_name: v.text("record.caller_name", &given.caller_name, 1..=50),
        called_at: v.time("record.call_time", given.call_time.as_ref()),
        said: v.text("record.said", &given.said, 1..=1000),
    };
    Command::Record(id, record)
}

/// What a command answers.
pub fn status(changed: &Changed) -> v1::CallTaskStatus {
    v1::CallTaskStatus {
        call_task_id: changed.task.id.to_string(),
        state: changed.task.state.number(),
        version: changed.task.version,
        update_time: Some(to_wire(changed.at)),
    }
}

/// In which state, and which page.
pub fn list(v: &mut Violations, request: &v1::ListCallTasksRequest) -> (Option<CallTaskState>, Page<Uuid>) {
    let state = v.word_if_set("state", request.state);
    let page = Page::parse(v, request.page_size, &request.page_token, &("call tasks", state));
    (state, page)
}

/// A call task as the desk sees one.
pub fn shown(row: Row) -> v1::CallTask {
    let record = row.called_at.map(|at| v1::CallRecord {
        caller_name: row.caller_name.unwrap_or_default(),
        call_time: Some(to_wire(at)),
        said: row.said.unwrap_or_default(),
    });
    v1::CallTask {
        call_task_id: row.id.to_string(),
        whistle_id: row.whistle_id.to_string(),
        assignment_id: row.assignment_id.to_string(),
        rung: row.rung,
        card: number(row.card),
        caller: row.caller.number(),
        callee: row.callee.number(),
        callee_name: row.callee_name.unwrap_or_default(),
        callee_phone: row.callee_phone.unwrap_or_default(),
        script: row.script.unwrap_or_default(),
        state: row.state.number(),
        due_time: Some(to_wire(row.due_at)),
        late_by_ms: row.opened_at.map_or(0, |opened| (opened - row.due_at).num_milliseconds()),
        record,
    }
}
