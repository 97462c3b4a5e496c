//! Requests that change something: each carries the caller's own id of the call and may be repeated safely with it.

use crate::{dispatch, grievances, notifications, ops, oversight, residents};

/// A request that carries its id.
pub trait RequestId {
    /// UUID drawn by the caller.
    fn request_id(&self) -> &str;
}

macro_rules! carries_its_id {
    ($($request:ty),* $(,)?) => {$(
        impl RequestId for $request {
            fn request_id(&self) -> &str {
                &self.request_id
            }
        }
    )*};
}

carries_its_id!(
    residents::v1::RegisterResidentRequest,
    grievances::v1::UploadPhotoRequest,
    grievances::v1::SubmitGrievanceRequest,
    grievances::v1::ReviewGrievanceRequest,
    grievances::v1::GradeGrievanceRequest,
    dispatch::v1::BlowWhistleRequest,
    dispatch::v1::AnswerAssignmentRequest,
    dispatch::v1::SubmitAssignmentRequest,
    dispatch::v1::ConfirmAssignmentRequest,
    dispatch::v1::WithdrawWhistleRequest,
    dispatch::v1::AnnulCardRequest,
    dispatch::v1::PutUnitRequest,
    dispatch::v1::PutDeputyMayorRequest,
    dispatch::v1::CreatePolicyRequest,
    notifications::v1::RecordCallRequest,
    oversight::v1::ReleaseCaseRequest,
    ops::v1::ReplayDeadLettersRequest,
    ops::v1::ReleaseHoldRequest,
);
