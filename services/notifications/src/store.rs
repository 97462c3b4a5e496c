//! SQL that decides or writes.

pub mod alarm;
pub mod call_task;
pub mod message;

use foundation::data::column;
