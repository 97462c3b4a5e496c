//! SQL that only reads, for whoever asks: what a screen shows, in the caller's scope. All of it is the centre's and the discipline
//! inspection's, so a scope that is not everything sees nothing.

pub mod case;
pub mod timeline;
