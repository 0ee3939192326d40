//! Compares two pictures by their visible content.

use std::io::Cursor;

/// Maximum size of a picture's pixels, in bytes.
const MAX_PIXEL_BYTES: usize = 256 << 20;

/// PNGs, the format of Matplotlib, are compared pixel by pixel, because their metadata contains
/// library versions and changes with every upgrade. All other formats are compared byte by byte.
/// The error describes the difference.
pub fn same_picture(wanted: &[u8], got: &[u8]) -> Result<(), String> {
    if wanted == got {
        return Ok(());
    }
    let (Some(wanted), Some(got)) = (Pixels::of(wanted), Pixels::of(got)) else {
        return Err(format!("expected {} bytes, got {} other bytes", wanted.len(), got.len()));
    };
    if wanted.size != got.size {
        let ((w, h), (now_w, now_h)) = (wanted.size, got.size);
        return Err(format!("expected {w} × {h} pixels, got {now_w} × {now_h}"));
    }
    let pairs = wanted.rgba.chunks_exact(4).zip(got.rgba.chunks_exact(4));
    let differ = pairs.filter(|(wanted, got)| wanted != got).count();
    match differ {
        0 => Ok(()),
        differ => Err(format!("{differ} of {} pixels differ", wanted.rgba.len() / 4)),
    }
}

struct Pixels {
    size: (u32, u32),
    rgba: Vec<u8>,
}

impl Pixels {
    /// Decodes a PNG of any colour type.
    fn of(bytes: &[u8]) -> Option<Pixels> {
        let limits = png::Limits { bytes: MAX_PIXEL_BYTES };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_transformations(
            png::Transformations::normalize_to_color8() | png::Transformations::ALPHA,
        );
        let mut reader = decoder.read_info().ok()?;
        let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= MAX_PIXEL_BYTES)?;
        let mut pixels = vec![0; bytes];
        let frame = reader.next_frame(&mut pixels).ok()?;
        pixels.truncate(frame.buffer_size());
        let rgba = match frame.color_type {
            png::ColorType::Rgba => pixels,
            png::ColorType::GrayscaleAlpha => pixels
                .chunks_exact(2)
                .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
                .collect(),
            _ => return None,
        };
        Some(Pixels { size: (frame.width, frame.height), rgba })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(color: png::ColorType, width: u32, pixels: &[u8], text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, 1);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.add_text_chunk("Software".into(), text.into()).expect("it is short");
        let mut writer = encoder.write_header().expect("it is memory");
        writer.write_image_data(pixels).expect("it is memory");
        writer.finish().expect("it is memory");
        bytes
    }

    #[test]
    fn only_pixels_are_compared() {
        use png::ColorType::{Grayscale, Rgb, Rgba};
        let white = png(Rgb, 2, &[255; 6], "version 1");
        for same in [
            png(Rgb, 2, &[255; 6], "version 2"),
            png(Rgba, 2, &[255; 8], "version 1"),
            png(Grayscale, 2, &[255; 2], "version 1"),
        ] {
            assert_ne!(white, same);
            assert_eq!(same_picture(&white, &same), Ok(()));
        }
        let spot = png(Rgb, 2, &[255, 255, 255, 255, 255, 254], "version 1");
        assert_eq!(same_picture(&white, &spot), Err("1 of 2 pixels differ".into()));
        let wider = png(Rgb, 3, &[255; 9], "version 1");
        assert_eq!(same_picture(&white, &wider), Err("expected 2 × 1 pixels, got 3 × 1".into()));
        assert_eq!(
            same_picture(b"GIF89a", b"GIF89b"),
            Err("expected 6 bytes, got 6 other bytes".into())
        );
        assert_eq!(same_picture(b"GIF89a", b"GIF89a"), Ok(()));
    }
}
