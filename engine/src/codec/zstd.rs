//! `zstd`: libzstd with a context that is reused, and with decoding that stops at what is wanted.
//!
//! Both ways decode straight into the caller's buffer, so a frame's window is that buffer and nothing is allocated for it,
//! whatever window a (hostile) header asks for. Frames that need a dictionary are refused by libzstd.

use std::ffi::CStr;
use std::ptr::NonNull;

use zstd_sys::{
    ZSTD_DCtx, ZSTD_ErrorCode, ZSTD_createDCtx, ZSTD_decompressBegin, ZSTD_decompressContinue, ZSTD_decompressDCtx,
    ZSTD_findFrameCompressedSize, ZSTD_freeDCtx, ZSTD_getErrorCode, ZSTD_getErrorName, ZSTD_getFrameContentSize, ZSTD_isError,
    ZSTD_nextSrcSizeToDecompress,
};

use super::CodecError;

const CODEC: &str = "zstd";

/// A decompression context, made on first use.
#[derive(Default)]
pub(super) struct ZstdContext {
    raw: Option<NonNull<ZSTD_DCtx>>,
}

// SAFETY: libzstd binds a context to no thread; `&mut self` on every use keeps two threads from sharing one.
unsafe impl Send for ZstdContext {}

impl std::fmt::Debug for ZstdContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZstdContext").field("made", &self.raw.is_some()).finish()
    }
}

impl Drop for ZstdContext {
    fn drop(&mut self) {
        if let Some(raw) = self.raw {
            // SAFETY: made by ZSTD_createDCtx, freed nowhere else.
            unsafe { ZSTD_freeDCtx(raw.as_ptr()) };
        }
    }
}

impl ZstdContext {
    fn get(&mut self) -> Result<*mut ZSTD_DCtx, CodecError> {
        if self.raw.is_none() {
            // SAFETY: takes nothing; null means that memory ran out.
            self.raw = NonNull::new(unsafe { ZSTD_createDCtx() });
        }
        self.raw.map(NonNull::as_ptr).ok_or_else(|| CodecError::corrupt(CODEC, "no memory for a decompression context"))
    }

    /// Decodes all frames of `encoded` into `out`; answers how many bytes they made.
    /// More than `out` holds is `Length`, fewer is the caller's to judge.
    pub(super) fn decode(&mut self, encoded: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
        let context = self.get()?;
        // SAFETY: both slices are valid for their lengths and do not overlap; the context is ours alone.
        let code = unsafe { ZSTD_decompressDCtx(context, out.as_mut_ptr().cast(), out.len(), encoded.as_ptr().cast(), encoded.len()) };
        check(code).map_err(|failure| failure.explain(encoded, out.len()))
    }

    /// Decodes at least `want` bytes (at most `out.len()`) and stops after the zstd block that has the last of them; answers
    /// how many bytes of `out` hold data. What lies behind is not looked at: a frame's checksum stays unverified.
    ///
    /// # Errors
    /// `Length` when the frames end before `want`, or are seen to make more than `out` holds.
    pub(super) fn decode_prefix(&mut self, encoded: &[u8], out: &mut [u8], want: usize) -> Result<usize, CodecError> {
        if let Some(size) = content_size(encoded).filter(|&size| size != out.len() as u64 && is_single_frame(encoded)) {
            return Err(CodecError::Length { observed: size, expected: out.len() as u64 });
        }
        let want = want.min(out.len());
        let (mut input, mut done) = (encoded, 0);
        while done < want {
            if input.is_empty() {
                return Err(CodecError::length(done, out.len()));
            }
            let (used, made) = self.frame_prefix(input, &mut out[done..], want - done)?;
            input = &input[used..];
            done += made;
        }
        Ok(done)
    }

    /// One frame, or its beginning: bytes consumed and made.
    fn frame_prefix(&mut self, encoded: &[u8], out: &mut [u8], want: usize) -> Result<(usize, usize), CodecError> {
        let context = self.get()?;
        // SAFETY: the context is ours alone.
        check(unsafe { ZSTD_decompressBegin(context) }).map_err(|failure| failure.explain(encoded, out.len()))?;
        let (mut used, mut made) = (0, 0);
        loop {
            // SAFETY: the context is ours alone.
            let need = unsafe { ZSTD_nextSrcSizeToDecompress(context) };
            if need == 0 || made >= want {
                return Ok((used, made));
            }
            let Some(piece) = encoded.get(used..).and_then(|rest| rest.get(..need)) else {
                let reason = format!("truncated: {} bytes stored, {need} more needed at byte {used}", encoded.len());
                return Err(CodecError::corrupt(CODEC, reason));
            };
            let target = &mut out[made..];
            // SAFETY: both slices are valid for their lengths and do not overlap. Each call continues right behind the
            // output of the one before, in a buffer that nobody moves meanwhile, as the bufferless interface asks for.
            let code =
                unsafe { ZSTD_decompressContinue(context, target.as_mut_ptr().cast(), target.len(), piece.as_ptr().cast(), piece.len()) };
            made += check(code).map_err(|failure| failure.explain(encoded, out.len()))?;
            used += need;
        }
    }
}

/// What the first frame says it decodes to, if it says so.
fn content_size(encoded: &[u8]) -> Option<u64> {
    // SAFETY: the slice is valid for its length.
    let size = unsafe { ZSTD_getFrameContentSize(encoded.as_ptr().cast(), encoded.len()) };
    // The two largest values mean "unknown" and "error".
    (size < u64::MAX - 1).then_some(size)
}

/// True when `encoded` is one frame, whole, and nothing else.
fn is_single_frame(encoded: &[u8]) -> bool {
    // SAFETY: the slice is valid for its length.
    unsafe { ZSTD_findFrameCompressedSize(encoded.as_ptr().cast(), encoded.len()) == encoded.len() }
}

struct Failure(usize);

fn check(code: usize) -> Result<usize, Failure> {
    // SAFETY: a pure function of the code.
    if unsafe { ZSTD_isError(code) } == 0 { Ok(code) } else { Err(Failure(code)) }
}

impl Failure {
    fn explain(self, encoded: &[u8], room: usize) -> CodecError {
        // SAFETY: a pure function of the code.
        if unsafe { ZSTD_getErrorCode(self.0) } == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall {
            let said = content_size(encoded).filter(|&size| size > room as u64 && is_single_frame(encoded));
            return CodecError::Length { observed: said.unwrap_or(room as u64 + 1), expected: room as u64 };
        }
        // SAFETY: libzstd answers a static, NUL-terminated string for every code.
        let name = unsafe { CStr::from_ptr(ZSTD_getErrorName(self.0)) }.to_string_lossy();
        CodecError::corrupt(CODEC, format!("{name} ({} bytes stored)", encoded.len()))
    }
}
