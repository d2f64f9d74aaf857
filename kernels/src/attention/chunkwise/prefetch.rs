//! A hint to fetch memory before it is read. Chunks are read in short rows far apart, which no processor foresees by itself.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the second-level cache to have `data` soon. Changes nothing but time.
pub(super) fn prefetch<T>(data: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for element in data.iter().step_by((LINE / size_of::<T>().max(1)).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and faults nowhere; SSE, which has it, is part of x86_64.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(element).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, LINE);
}
