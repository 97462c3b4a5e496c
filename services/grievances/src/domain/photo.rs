//! Photos from anybody: only JPEG, PNG and WebP, looked at before decoding, re-encoded so that nothing hidden survives.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use super::PhotoId;

/// Largest file taken, bytes.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Longest side taken, pixels.
const MAX_SIDE: u32 = 12_000;
/// Largest area taken, pixels.
const MAX_PIXELS: u64 = 40_000_000;
/// Longest side kept, pixels: enough to see what a photo shows.
const KEPT_SIDE: u32 = 2_560;

/// A picture as it is stored.
#[derive(Debug)]
pub struct Photo {
    /// JPEG.
    pub bytes: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// What is on record of a picture that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Also its name in the photo store.
    pub id: PhotoId,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// As stored, re-encoded.
    pub size_bytes: i64,
}

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Its first bytes are of none of the three kinds.
    #[error("is not a JPEG, PNG or WebP picture")]
    Kind,
    /// More bytes than the limit.
    #[error("is larger than 8 MiB")]
    Bytes,
    /// More pixels than the limit.
    #[error("has more than 40 megapixels or a side over 12000")]
    Pixels,
    /// It claims to be a picture and does not decode.
    #[error("cannot be decoded")]
    Broken,
}

/// The picture as it will be stored: decoded within limits, turned upright by nobody, re-encoded without metadata.
pub fn take(content: &[u8]) -> Result<Photo, NotTaken> {
    if content.len() > MAX_BYTES {
        return Err(NotTaken::Bytes);
    }
    let format = image::guess_format(content).map_err(|_| NotTaken::Kind)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(NotTaken::Kind);
    }
    let (width, height) =
        ImageReader::with_format(Cursor::new(content), format).into_dimensions().map_err(|_| NotTaken::Broken)?;
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(NotTaken::Pixels);
    }
    let mut reader = ImageReader::with_format(Cursor::new(content), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(256 * 1024 * 1024);
    reader.limits(limits);
    let picture = reader.decode().map_err(|_| NotTaken::Broken)?;
    encode(&picture)
}

fn encode(picture: &DynamicImage) -> Result<Photo, NotTaken> {
    let large = picture.width().max(picture.height()) > KEPT_SIDE;
    let picture = if large { &picture.thumbnail(KEPT_SIDE, KEPT_SIDE) } else { picture };
    let rgb = picture.to_rgb8();
    let mut bytes = Vec::new();
    rgb.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg).map_err(|_| NotTaken::Broken)?;
    Ok(Photo { bytes, width: rgb.width(), height: rgb.height() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::new_rgb8(width, height).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn a_picture_is_taken_and_kept_as_a_jpeg() {
        let photo = take(&png(40, 30)).unwrap();
        assert_eq!((photo.width, photo.height), (40, 30));
        assert_eq!(image::guess_format(&photo.bytes).unwrap(), ImageFormat::Jpeg);
    }

    #[test]
    fn what_is_no_picture_is_not_taken() {
        assert_eq!(take(b"<svg xmlns='http://www.w3.org/2000/svg'/>").unwrap_err(), NotTaken::Kind);
        assert_eq!(take(b"").unwrap_err(), NotTaken::Kind);
        let mut cut = png(40, 30);
        cut.truncate(40);
        assert_eq!(take(&cut).unwrap_err(), NotTaken::Broken);
    }

    #[test]
    fn a_picture_over_the_limits_is_not_taken() {
        assert_eq!(take(&png(12_001, 1)).unwrap_err(), NotTaken::Pixels);
        assert_eq!(take(&vec![0xff; MAX_BYTES + 1]).unwrap_err(), NotTaken::Bytes);
    }
}
