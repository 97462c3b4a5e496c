//! What grievances decides, pure.

pub mod grievance;
pub mod photo;

use foundation::{ids, words};

ids! {
    /// A grievance.
    GrievanceId,
    /// A photo.
    PhotoId,
}

words! {
    /// State of a grievance.
    State {
        /// 出卷
        Raised = "raised",
        /// All three stages are recorded.
        Reviewed = "reviewed",
        /// 吹哨
        Whistled = "whistled",
        /// 答卷
        Handling = "handling",
        /// 交卷
        Submitted = "submitted",
        /// 评卷
        Graded = "graded",
        /// Done.
        Closed = "closed",
    }
    /// A stage of the street's review; they come in this order.
    Stage {
        /// 一审职责
        Duty = "duty",
        /// 二审难度
        Difficulty = "difficulty",
        /// 三审时效
        TimeLimit = "time_limit",
    }
    /// How difficult the matter is; sets the route.
    Difficulty {
        /// 简单
        Simple = "simple",
        /// 复杂
        Complex = "complex",
        /// 耗时长
        Long = "long",
        /// 疑难
        Hard = "hard",
        /// 小需求
        Neighbourly = "neighbourly",
    }
    /// The resident's grade.
    Outcome {
        /// 解决
        Solved = "solved",
        /// 部分解决
        PartlySolved = "partly_solved",
        /// 未解决
        NotSolved = "not_solved",
    }
    /// The resident's satisfaction.
    Satisfaction {
        /// 满意
        Satisfied = "satisfied",
        /// 基本满意
        BasicallySatisfied = "basically_satisfied",
        /// 不满意
        NotSatisfied = "not_satisfied",
    }
}

impl Difficulty {
    /// Whether units must be whistled for it.
    pub fn needs_whistle(self) -> bool {
        match self {
            Difficulty::Complex | Difficulty::Long | Difficulty::Hard => true,
            Difficulty::Simple | Difficulty::Neighbourly => false,
        }
    }
}
