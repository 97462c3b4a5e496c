//! What others get to know, and what they tell.

use foundation::base::Wire as _;
use foundation::base::time::from_wire;
use proto::events::v1;
use proto::events::v1::whistle_ref::Subject;
use uuid::Uuid;

use crate::domain::grievance::{Command, Grade, Grievance, New, Progress, Whistle};
use crate::domain::{Difficulty, GrievanceId, Stage, State};
use crate::error::Error;

/// Raised; its text stays here.
pub fn submitted(grievance: &Grievance, new: &New) -> v1::GrievanceSubmitted {
    v1::GrievanceSubmitted {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        channel: new.channel.clone(),
        version: grievance.version,
        actor: None,
    }
}

/// A stage was recorded, and more follow.
pub fn stage_recorded(grievance: &Grievance, stage: Stage) -> v1::ReviewStageRecorded {
    v1::ReviewStageRecorded {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        stage: stage.number(),
        version: grievance.version,
        actor: None,
    }
}

/// All three are recorded.
pub fn reviewed(grievance: &Grievance, difficulty: Difficulty) -> v1::GrievanceReviewed {
    v1::GrievanceReviewed {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        difficulty: difficulty.number(),
        version: grievance.version,
        actor: None,
    }
}

/// Graded.
pub fn graded(grievance: &Grievance, grade: &Grade) -> v1::GrievanceGraded {
    v1::GrievanceGraded {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        whistle_id: whistle_id(grievance),
        outcome: grade.outcome.number(),
        satisfaction: grade.satisfaction.number(),
        version: grievance.version,
        actor: None,
    }
}

/// The whistle over it has come further.
pub fn progressed(grievance: &Grievance) -> v1::GrievanceProgressed {
    v1::GrievanceProgressed {
        grievance_id: grievance.id.to_string(),
        area: grievance.area.clone(),
        whistle_id: whistle_id(grievance),
        version: grievance.version,
        actor: None,
    }
}

fn whistle_id(grievance: &Grievance) -> String {
    grievance.whistle.map(|whistle| whistle.id.to_string()).unwrap_or_default()
}

/// What an event of a whistle says of its grievance, as a command; none where it is over something else.
pub fn progress(
    whistle: Option<&v1::WhistleRef>,
    version: i64,
    matter: Option<&str>,
    state: State,
) -> Result<Option<Command>, Error> {
    let whistle = whistle.ok_or(Error::Unreadable("whistle"))?;
    let uuid = |text: &str, field| text.parse::<Uuid>().map_err(|_| Error::Unreadable(field));
    let grievance = match &whistle.subject {
        Some(Subject::GrievanceId(id)) => GrievanceId(uuid(id, "grievance_id")?),
        Some(Subject::BundleId(_)) => return Ok(None),
        None => return Err(Error::Unreadable("subject")),
    };
    let progress = Progress {
        area: whistle.area.clone(),
        matter: matter.map(str::to_owned),
        whistle: Whistle {
            blown_at: whistle.blow_time.as_ref().and_then(from_wire).ok_or(Error::Unreadable("blow_time"))?,
            id: uuid(&whistle.whistle_id, "whistle_id")?,
            version,
        },
        state,
    };
    Ok(Some(Command::Progress(grievance, progress)))
}
