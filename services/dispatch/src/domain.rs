//! What dispatch decides, pure: time, ids and policies come in as arguments.

pub mod command;
pub mod directory;
pub mod ladder;
pub mod policy;
pub mod whistle;

use foundation::{ids, words};

ids! {
    /// A whistle.
    WhistleId,
    /// A unit's part of a whistle.
    AssignmentId,
    /// A department, utility or other that can be whistled.
    UnitId,
    /// A ladder of an assignment.
    LadderId,
    /// A grievance, of the grievances service.
    GrievanceId,
}

words! {
    /// The card shown to a unit.
    Card {
        /// 黄牌
        Yellow = "yellow",
        /// 红牌
        Red = "red",
    }
    /// Whom an effect is for.
    Target {
        /// The unit's duty contact.
        Duty = "duty",
        /// The unit's head.
        Head = "head",
        /// The unit's deputy contact.
        Deputy = "deputy",
        /// The deputy district mayor in charge of the matter.
        DeputyMayor = "deputy_mayor",
        /// The head of the governance centre.
        CentreHead = "centre_head",
        /// 阳光+
        OversightPlatform = "oversight_platform",
    }
    /// A unit's role within a whistle.
    Role {
        /// 牵头
        Lead = "lead",
        /// 配合
        Supporting = "supporting",
    }
    /// How difficult the matter is; those without a whistle never come here.
    Difficulty {
        /// 复杂
        Complex = "complex",
        /// 耗时长
        Long = "long",
        /// 疑难
        Hard = "hard",
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
    /// State of a whistle.
    WhistleState {
        /// Some assignment is not closed.
        Open = "open",
        /// Every assignment is closed.
        Closed = "closed",
        /// The street took it back.
        Withdrawn = "withdrawn",
    }
    /// State of an assignment.
    AssignmentState {
        /// 吹哨
        Whistled = "whistled",
        /// 应哨
        Answered = "answered",
        /// 交卷
        Submitted = "submitted",
        /// Confirmed by the street.
        Closed = "closed",
        /// With the whistle.
        Withdrawn = "withdrawn",
    }
    /// What a ladder guards.
    Kind {
        /// From the whistle until the unit answers.
        Answer = "answer",
        /// From the answer until the result is handed in.
        Handling = "handling",
    }
    /// What an effect is.
    EffectKind {
        /// A reminder.
        Sms = "sms",
        /// A card shown.
        Card = "card",
        /// A phone call that a named person must make.
        Call = "call",
        /// A case for 阳光+.
        Push = "push",
    }
}

impl Target {
    /// Whether a person can hold the role, and so be texted or phoned.
    pub fn is_person(self) -> bool {
        match self {
            Target::Duty | Target::Head | Target::Deputy | Target::DeputyMayor => true,
            Target::CentreHead | Target::OversightPlatform => false,
        }
    }

    /// Whether the role is one of a unit's contacts.
    pub fn is_of_unit(self) -> bool {
        match self {
            Target::Duty | Target::Head | Target::Deputy => true,
            Target::DeputyMayor | Target::CentreHead | Target::OversightPlatform => false,
        }
    }
}
