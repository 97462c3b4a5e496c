//! Timed work: none yet.
