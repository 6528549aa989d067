//! Compressed request bodies, unpacked for reading alone; what is forwarded stays packed.

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{self, Write};

/// Most that is unpacked of one body, bytes: a small body must not make work without end.
const UNPACKED_BYTES: usize = 16 << 20;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentCoding {
    /// Not at all.
    None,
    /// `gzip`
    Gzip,
    /// `deflate`, with or without the frame that the name asks for.
    Deflate,
    /// Some other way, or several.
    Other,
}

impl ContentCoding {
    /// Reads a `content-encoding`.
    pub(super) fn of(content_encoding: Option<&str>) -> Self {
        let name = content_encoding.unwrap_or_default().trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            Self::None
        } else if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Self::Gzip
        } else if name.eq_ignore_ascii_case("deflate") {
            Self::Deflate
        } else {
            Self::Other
        }
    }

    /// Unpacks a body into `out`; says whether all of it could be.
    pub(super) fn unpack(self, body: &[u8], out: &mut impl FnMut(&[u8])) -> bool {
        let bounded = Bounded {
            left: UNPACKED_BYTES,
            out,
        };
        let done = match self {
            Self::None => {
                (bounded.out)(body);
                return true;
            }
            Self::Other => return false,
            Self::Gzip => write_all(MultiGzDecoder::new(bounded), body, MultiGzDecoder::finish),
            Self::Deflate if has_frame(body) => {
                write_all(ZlibDecoder::new(bounded), body, ZlibDecoder::finish)
            }
            Self::Deflate => write_all(DeflateDecoder::new(bounded), body, DeflateDecoder::finish),
        };
        done.is_ok()
    }
}

fn write_all<W: Write, B>(
    mut decoder: W,
    body: &[u8],
    finish: impl FnOnce(W) -> io::Result<B>,
) -> io::Result<()> {
    decoder.write_all(body)?;
    finish(decoder).map(drop)
}

/// Whether the two bytes of a zlib frame stand at the start.
fn has_frame(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}

struct Bounded<F> {
    left: usize,
    out: F,
}

impl<F: FnMut(&[u8])> Write for Bounded<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        (self.out)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    fn unpack(encoding: &str, body: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let whole =
            ContentCoding::of(Some(encoding)).unpack(body, &mut |part| out.extend_from_slice(part));
        (out, whole)
    }

    fn packed(text: &[u8]) -> [(&'static str, Vec<u8>); 3] {
        let level = Compression::fast();
        let mut gzip = GzEncoder::new(Vec::new(), level);
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        let mut raw = DeflateEncoder::new(Vec::new(), level);
        for writer in [&mut gzip as &mut dyn Write, &mut zlib, &mut raw] {
            writer.write_all(text).unwrap();
        }
        [
            ("gzip", gzip.finish().unwrap()),
            ("deflate", zlib.finish().unwrap()),
            (" Deflate", raw.finish().unwrap()),
        ]
    }

    #[test]
    fn each_packing_is_unpacked() {
        let text = br#"{"model":"m"}"#.repeat(10_000);
        for (encoding, body) in packed(&text) {
            assert_eq!(unpack(encoding, &body), (text.clone(), true), "{encoding}");
            let (out, whole) = unpack(encoding, &body[..body.len() / 2]);
            // Only gzip tells; a cut object tells by itself that it is not whole.
            assert!(
                out.len() < text.len() && !(whole && encoding == "gzip"),
                "{encoding} cut"
            );
        }
        assert_eq!(unpack("identity", b"x"), (b"x".to_vec(), true));
        for other in ["br", "zstd", "gzip, gzip", "?"] {
            assert!(!unpack(other, b"x").1, "{other}");
        }
        assert!(!unpack("gzip", b"no gzip").1);
    }

    #[test]
    fn what_unpacks_without_end_is_given_up() {
        for (encoding, body) in packed(&vec![b' '; UNPACKED_BYTES + 1]) {
            let (out, whole) = unpack(encoding, &body);
            assert!(!whole && out.len() <= UNPACKED_BYTES, "{encoding}");
        }
    }
}
