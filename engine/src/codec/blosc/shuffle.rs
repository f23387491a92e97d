//! Undoing the byte shuffle: stream `j` of the block holds byte `j` of every element.

/// Undoes the shuffle of one block of elements of `typesize` bytes. Bytes behind the last whole element were never shuffled.
pub(super) fn undo(typesize: usize, shuffled: &[u8], out: &mut [u8]) {
    assert_eq!(shuffled.len(), out.len(), "a shuffle keeps lengths");
    let elements = shuffled.len() / typesize;
    let whole = elements * typesize;
    out[whole..].copy_from_slice(&shuffled[whole..]);
    let (shuffled, out) = (&shuffled[..whole], &mut out[..whole]);
    if elements == 0 {
        return;
    }
    let done = vectors(typesize, elements, shuffled, out);
    scalar(typesize, elements, done, shuffled, out);
}

/// Elements `from..` one by one.
fn scalar(typesize: usize, elements: usize, from: usize, shuffled: &[u8], out: &mut [u8]) {
    for (byte, stream) in shuffled.chunks_exact(elements).enumerate() {
        for (i, &value) in stream.iter().enumerate().skip(from) {
            out[i * typesize + byte] = value;
        }
    }
}

/// Undoes as many elements as fill vectors; answers how many.
#[cfg(target_arch = "x86_64")]
fn vectors(typesize: usize, elements: usize, shuffled: &[u8], out: &mut [u8]) -> usize {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        unsafe { x86::undo_avx2(typesize, elements, shuffled, out) }
    } else {
        x86::undo_sse2(typesize, elements, shuffled, out)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors(_: usize, _: usize, _: &[u8], _: &mut [u8]) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Streams are interleaved by rounds of unpacks: after log2(typesize) rounds each vector holds whole elements in order.

    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_loadu_si256,
        _mm256_permute2x128_si256, _mm256_storeu_si256, _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
    };

    pub(super) fn undo_sse2(typesize: usize, elements: usize, shuffled: &[u8], out: &mut [u8]) -> usize {
        match typesize {
            2 => sse2::<2>(elements, shuffled, out),
            4 => sse2::<4>(elements, shuffled, out),
            8 => sse2::<8>(elements, shuffled, out),
            16 => sse2::<16>(elements, shuffled, out),
            _ => 0,
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn undo_avx2(typesize: usize, elements: usize, shuffled: &[u8], out: &mut [u8]) -> usize {
        match typesize {
            2 => avx2::<2>(elements, shuffled, out),
            4 => avx2::<4>(elements, shuffled, out),
            8 => avx2::<8>(elements, shuffled, out),
            16 => avx2::<16>(elements, shuffled, out),
            _ => 0,
        }
    }

    /// One round: pairs vector `i` with vector `i + N / 2`, so that after all rounds the vectors are in memory order.
    macro_rules! interleave {
        ($v:ident, $n:ident, $lo:ident, $hi:ident) => {
            let mut width = 1;
            while width < $n {
                let before = $v;
                for i in 0..$n / 2 {
                    $v[2 * i] = $lo(before[i], before[i + $n / 2]);
                    $v[2 * i + 1] = $hi(before[i], before[i + $n / 2]);
                }
                width *= 2;
            }
        };
    }

    fn sse2<const N: usize>(elements: usize, shuffled: &[u8], out: &mut [u8]) -> usize {
        assert!(shuffled.len() == elements * N && out.len() == elements * N, "streams of one length");
        let vectors = elements / 16;
        for vector in 0..vectors {
            let at = vector * 16;
            // SAFETY: stream j has `elements` bytes from j * elements, and at + 16 <= elements.
            let mut v: [__m128i; N] = std::array::from_fn(|j| unsafe { _mm_loadu_si128(shuffled.as_ptr().add(j * elements + at).cast()) });
            // SAFETY: SSE2 is part of x86-64.
            unsafe {
                interleave!(v, N, _mm_unpacklo_epi8, _mm_unpackhi_epi8);
            }
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: (at + 16) * N <= elements * N = out.len(), and i < N.
                unsafe { _mm_storeu_si128(out.as_mut_ptr().add(at * N + i * 16).cast(), v) };
            }
        }
        vectors * 16
    }

    #[target_feature(enable = "avx2")]
    fn avx2<const N: usize>(elements: usize, shuffled: &[u8], out: &mut [u8]) -> usize {
        assert!(shuffled.len() == elements * N && out.len() == elements * N, "streams of one length");
        let vectors = elements / 32;
        for vector in 0..vectors {
            let at = vector * 32;
            let mut v = [zero(); N];
            for (j, v) in v.iter_mut().enumerate() {
                // SAFETY: stream j has `elements` bytes from j * elements, and at + 32 <= elements.
                *v = unsafe { _mm256_loadu_si256(shuffled.as_ptr().add(j * elements + at).cast()) };
            }
            interleave!(v, N, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
            // Unpacks work within 128-bit lanes: low lanes hold the first 16 elements, high lanes the last 16.
            for i in 0..N / 2 {
                let low = _mm256_permute2x128_si256::<0x20>(v[2 * i], v[2 * i + 1]);
                let high = _mm256_permute2x128_si256::<0x31>(v[2 * i], v[2 * i + 1]);
                // SAFETY: (at + 32) * N <= elements * N = out.len(); the low half of the N vectors' bytes is N * 16 long.
                unsafe {
                    _mm256_storeu_si256(out.as_mut_ptr().add(at * N + i * 32).cast(), low);
                    _mm256_storeu_si256(out.as_mut_ptr().add(at * N + N * 16 + i * 32).cast(), high);
                }
            }
        }
        vectors * 32
    }

    #[target_feature(enable = "avx2")]
    fn zero() -> __m256i {
        std::arch::x86_64::_mm256_setzero_si256()
    }
}
