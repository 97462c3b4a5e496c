//! What oversight decides, pure: whether a case goes or waits, and every Chinese word of a timeline.

pub mod texts;

use chrono::TimeDelta;
use foundation::clock::Timestamp;
use foundation::words;

words! {
    /// Where a case stands.
    State {
        /// On its way.
        Pending = "pending",
        /// Waits for the centre's release.
        Held = "held",
        /// 阳光+ gave a receipt.
        Pushed = "pushed",
        /// A drill: never leaves the house.
        Drill = "drill",
    }
}

/// What is known of a case when it is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// The rung's due time.
    pub due_at: Timestamp,
    /// First sent later than this it is the platform's fault.
    pub fault_after: TimeDelta,
    /// 阳光+ was offered it and did not take it; from then on a delay is the receiver's.
    pub offered: bool,
    /// The centre let it go.
    pub released: bool,
}

/// Whether a case leaves now or waits for the centre: the platform's own outage reports nobody by itself.
pub fn leaves(case: Leaving, now: Timestamp) -> bool {
    case.released || case.offered || now - case.due_at <= case.fault_after
}

/// How long to wait after the given number of failed attempts: quickly at first, at most a minute.
pub fn backoff(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(1, 9).cast_unsigned() - 1;
    TimeDelta::milliseconds(250 << doublings).min(TimeDelta::seconds(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(offered: bool, released: bool) -> Leaving {
        Leaving { due_at: Timestamp::UNIX_EPOCH, fault_after: TimeDelta::minutes(5), offered, released }
    }

    #[test]
    fn a_case_leaves_by_itself_until_the_bound_and_waits_after_it() {
        let bound = Timestamp::UNIX_EPOCH + TimeDelta::minutes(5);
        assert!(leaves(case(false, false), bound));
        assert!(!leaves(case(false, false), bound + TimeDelta::milliseconds(1)));
    }

    #[test]
    fn a_released_case_leaves_and_so_does_one_that_the_receiver_delays() {
        let late = Timestamp::UNIX_EPOCH + TimeDelta::days(1);
        assert!(leaves(case(false, true), late) && leaves(case(true, false), late));
    }
}
