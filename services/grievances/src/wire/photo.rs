//! Photos.

use foundation::base::{Invalid, Violations, id};
use proto::grievances::v1;
use uuid::Uuid;

use crate::domain::PhotoId;
use crate::domain::photo::{Kept, NotTaken, Photo};

/// The id of the request.
pub fn request_id(v: &mut Violations, request: &v1::UploadPhotoRequest) -> Uuid {
    v.uuid("request_id", &request.request_id)
}

/// What will be on record of a picture. Named by the request and the content: a repeat keeps the same picture, another one never
/// replaces it.
pub fn kept(request_id: Uuid, subject: &str, content: &[u8], photo: &Photo) -> Kept {
    Kept {
        id: PhotoId(Uuid::new_v5(&id::named(request_id, &[subject, "photo"]), content)),
        width: photo.width,
        height: photo.height,
        size_bytes: i64::try_from(photo.bytes.len()).unwrap_or(i64::MAX),
    }
}

/// What keeping one answers.
pub fn uploaded(kept: &Kept) -> v1::UploadPhotoResponse {
    v1::UploadPhotoResponse { photo_id: kept.id.to_string() }
}

/// Why a file is not taken, naming the field.
pub fn not_taken(why: NotTaken) -> Invalid {
    Invalid::one("content", &why.to_string())
}
