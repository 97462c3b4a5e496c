//! Between the wire and the domain; nothing else knows both.

pub mod case;
pub mod event;
pub mod timeline;
pub mod words;
